"""Routes that only NoETL's web page uses."""
