"""What an operator does with the log beside the running services: view, back up, restore, replay."""
