"""What the daemon can do when something happens to its log: one file an action."""
