"""Rules, configuration, files and plugin names: what all other packages use. Knows no network and no image."""
