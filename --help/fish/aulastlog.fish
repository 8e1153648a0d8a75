complete -c aulastlog -s u -l user -d 'Only this user, by name or number'
complete -c aulastlog -l stdin -d 'Read standard input instead of the configured log'
complete -c aulastlog -s h -l help -d 'Print the options'
