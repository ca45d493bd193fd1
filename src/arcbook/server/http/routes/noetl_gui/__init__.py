"""The routes that only NoETL's web page asks for."""
