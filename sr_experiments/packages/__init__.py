"""Other Python packages: extras of this one, plugins, installed versions."""
