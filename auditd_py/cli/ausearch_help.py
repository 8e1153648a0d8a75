"""What ausearch --help prints."""

from __future__ import annotations

from typing import Final

USAGE: Final = """\
usage: ausearch [options]

what to look for: all of it must be so; texts match in part, with -w as a whole
  -a, --event N              number of the event
  -m, --message TYPE[,TYPE]  types of record, by name or number; ALL
  -k, --key TEXT             key of the rule
  -f, --file TEXT            name of a file, or the working directory
  -x, --executable TEXT      program
  -c, --comm TEXT            name of the command
  -p, --pid N                process          -pp, --ppid N     its parent
  -sc, --syscall NAME|N      system call      --arch MACHINE    b64, b32, a name
  -e, --exit N|-ERRNO        what the call returned
  -sv, --success yes|no      whether it succeeded
  -ua, --uid-all WHO         user: any of     -ul, --loginuid WHO, -ui, --uid
                             these three      WHO, -ue, --uid-effective WHO
  -ga, --gid-all WHO         group: any of    -gi, --gid WHO,
                             these two        -ge, --gid-effective WHO
  --session N                login session
  -hn, --host TEXT           host it came from, by name or address
  -n, --node NAME            machine that recorded it (may be repeated)
  -tm, --terminal TEXT       terminal
  -se, --context TEXT        security context: of the subject (-su, --subject
                             TEXT) or of the object (-o, --object TEXT)
  -uu, --uuid TEXT           virtual machine  -vm, --vm-name TEXT
  -ts, --start [DATE] [TIME] first second; also now, recent, this-hour, boot,
  -te, --end [DATE] [TIME]   today, yesterday, this-week, week-ago, this-month,
                             this-year, ISO 8601; after -ts also checkpoint
  -w, --word                 texts match as a whole

where to look
  -if, --input PATH          a file, a pipe, or a folder with audit.log
  --input-logs               read the logs even if standard input is a pipe
  --archive DEST             an archive (auditd-py archive); --engine duckdb
                             or spark://HOST:PORT; --skip-bad without bad files
  --checkpoint FILE          only what is new since the run before
  --follow                   go on with what is written to the log
  --eoe-timeout SECONDS      how long the records of one event may be apart

how to show it
  -i, --interpret            names for numbers
  -r, --raw                  lines as they are
  --json                     an object a line
  --format FORMAT            raw, default, interpret, csv, text, json
  --extra-keys, --extra-labels, --extra-obj2, --extra-time   more columns of csv
  --escape MODE              raw, tty, shell, shell_quote
  --iso-time                 times as in ISO 8601, whatever the locale
  --color WHEN               auto, always, never
  --no-pager                 do not page on a terminal
  --just-one                 stop after one event
  -l, --line-buffered        write each event at once
  --stats                    numbers of records and events, and gaps, by node
  --sql 'SELECT …'           ask the table `events` (needs auditd-py[report])

  --debug                    tell what is passed over
  -h, --help                 -v, --version
"""
