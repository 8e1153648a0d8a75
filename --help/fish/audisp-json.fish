complete -c audisp-json -s h -l help -d 'Show the options and exit'
complete -c audisp-json -l schema -d 'own (the default), ecs (Elastic Common Schema 8) or ocsf (Open Cybersecurity'
complete -c audisp-json -l output -d 'stdout (the default), file:PATH, unix:PATH or tcp:HOST:PORT'
complete -c audisp-json -l mode -d 'The mode of a file that is made, octal'
