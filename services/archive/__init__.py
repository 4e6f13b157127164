"""The archive: closed stretches of the log in a folder, and the log read from archive and stream as one."""
