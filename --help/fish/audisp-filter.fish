complete -c audisp-filter -l check -d 'Say what is wrong with a file, all of it, and exit'
