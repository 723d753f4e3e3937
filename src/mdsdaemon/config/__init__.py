"""Options, ceph.conf, environment and command line: the configuration of a daemon."""

from mdsdaemon.config.conf_file import ConfFile, parse_conf
from mdsdaemon.config.config import Config, Level
from mdsdaemon.config.load import load_config
from mdsdaemon.config.options import Option, find_option, option_names
from mdsdaemon.errors import ConfigError, OptionError

__all__ = [
    "ConfFile",
    "Config",
    "ConfigError",
    "Level",
    "Option",
    "OptionError",
    "find_option",
    "load_config",
    "option_names",
    "parse_conf",
]
