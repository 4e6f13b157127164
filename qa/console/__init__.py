"""Pictures of the console for the documentation, and what the console costs."""
