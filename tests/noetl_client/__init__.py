"""NoETL's own command line against our server: what each of its subcommands does here."""
