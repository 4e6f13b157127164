"""What tests share: the real programs, started on free ports with folders of their own."""
