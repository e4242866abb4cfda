"""The ground that everything stands on: rules, configuration, files. Knows no network and no image."""
