"""Operator tools for the log: view, back up, restore, replay."""
