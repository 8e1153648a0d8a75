"""python -m auditd_py TOOL …: as auditd-py."""

import sys

from auditd_py.cli.multitool import main

sys.exit(main())
