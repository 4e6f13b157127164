"""nats-server's configuration for one stack: nats.conf with its defaults replaced."""

import json
import re

from stack.errors import SettingError
from stack.settings import Settings


def render_broker_config(template: str, settings: Settings) -> str:
    """nats.conf with the values of this stack. Raises SettingError when the file lacks a name to replace.

    nats-server itself cannot do this: a name defined in the file wins over the environment, and one that is not must be
    in the environment.
    """
    values = {
        "NATS_SYNC_INTERVAL": settings.sync_interval,
        # JSON's quoting is also nats-server's.
        "NATS_STORE_DIR": json.dumps(str(settings.data / "nats")),
        "NATS_PORT": str(settings.nats_port),
        "NATS_MONITOR_PORT": str(settings.nats_monitor_port),
    }
    for name, value in values.items():
        default = re.search(rf"^{name}:.*$", template, flags=re.MULTILINE)
        if default is None:
            raise SettingError(f"nats.conf does not define {name}")
        template = template[: default.start()] + f"{name}: {value}" + template[default.end() :]
    return template
