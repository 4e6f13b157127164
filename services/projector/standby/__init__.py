"""Two projectors on one log: one answers, the other follows the log and takes its place."""
