"""Reports: what happened in a log, listed and counted (aureport, aulast, aulastlog)."""
