complete -c ausyscall -l exact -d 'Only the call that is called NAME, and print its number alone'
complete -c ausyscall -l dump -d 'All calls of the machine'
complete -c ausyscall -s h -l help -d 'Show the usage and exit'
