"""Which package brings a module that is missing."""

from __future__ import annotations

import re
import sys
from typing import Final

DISTRIBUTIONS: Final[dict[str, str]] = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "distutils": "setuptools",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "github": "pygithub",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "nacl": "pynacl",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pythonjsonlogger": "python-json-logger",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "snowflake": "snowflake-connector-python",
    "socks": "pysocks",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""Packages that have another name than the module which they bring."""

_MODULE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")


def advice_for(module: object) -> str:
    """Return what to write for a module that is missing; nothing if no package can bring it."""
    name = str(module).partition(".")[0]
    if not _MODULE.fullmatch(name) or name in sys.stdlib_module_names - DISTRIBUTIONS.keys():
        return ""
    package = DISTRIBUTIONS.get(name)
    if package is not None:
        return f"the package {package} brings it: 'dependencies: [{package}]'"
    line = f"'dependencies: [{name.lower().replace('_', '-')}]'"
    return f"name the package that brings it, such as {line}"
