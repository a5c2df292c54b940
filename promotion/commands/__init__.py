"""The commands, a file each. Importing one is cheap: what it needs, it loads when it runs."""
