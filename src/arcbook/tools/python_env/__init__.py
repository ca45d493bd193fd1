"""Python environments: interpreters with the packages that tasks list in ``dependencies``."""
