"""What NoETL's web page sends and reads."""
