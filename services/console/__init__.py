"""The console: a page in the browser that shows what the stack does. It reads only."""
