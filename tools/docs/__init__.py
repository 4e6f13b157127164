"""Tools for the documentation: pages generated from the code, and checks of the built site."""
