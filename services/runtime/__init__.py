"""Shared by all programs: settings, exceptions, command lines, and running a process."""
