"""What must be in the databases before a cloud's services can start?

Schemas, Nova's cells, Keystone's keys and its first administrator. The four schemas are independent of
each other and are made side by side; the finished state is kept as a copy, because making it takes more
than a minute and it is the same every time.
"""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor

from .layout import REGION, SECRET, Lab
from .machine import REQUIREMENTS
from .processes import Processes
from .services import control_plane_config, mariadb, run

DATABASES = ("keystone", "placement", "glance", "nova_api", "nova", "nova_cell0")


def sql(lab: Lab, statements: str) -> None:
    run(lab, ["mariadb", "--no-defaults", f"--socket={lab.database_socket}", "-e", statements])


def create_databases(lab: Lab) -> None:
    statements = [f"CREATE USER lab@localhost IDENTIFIED BY '{SECRET}'"]
    for name in DATABASES:
        statements.append(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
        statements.append(f"GRANT ALL ON {name}.* TO lab@localhost")
    sql(lab, ";".join(statements))


def fill_keystone(lab: Lab) -> None:
    manage = [lab.tool("keystone-manage"), "--config-file", str(lab.path("etc", "keystone", "keystone.conf"))]
    run(lab, [*manage, "db_sync"])
    for keys in ("fernet_setup", "credential_setup"):
        run(lab, [*manage, keys, "--keystone-user", "root", "--keystone-group", "root"])
    urls = [f"--bootstrap-{kind}-url={lab.auth_url}" for kind in ("public", "internal", "admin")]
    run(lab, [*manage, "bootstrap", f"--bootstrap-password={SECRET}", f"--bootstrap-region-id={REGION}", *urls])


def fill_placement(lab: Lab) -> None:
    conf = str(lab.path("etc", "placement", "placement.conf"))
    run(lab, [lab.tool("placement-manage"), "--config-file", conf, "db", "sync"])


def fill_glance(lab: Lab) -> None:
    etc = lab.path("etc", "glance")
    run(lab, [lab.tool("glance-manage"), "--config-dir", str(etc), "db_sync"])


def fill_nova(lab: Lab) -> None:
    manage = [lab.tool("nova-manage"), *control_plane_config(lab)]
    run(lab, [*manage, "api_db", "sync"])
    run(lab, [*manage, "cell_v2", "map_cell0", "--database_connection", lab.database_url("nova_cell0")])
    run(lab, [*manage, "db", "sync"])
    run(lab, [*manage, "cell_v2", "create_cell", "--name", "cell1"])


def template_name(lab: Lab) -> str:
    """Changes with whatever the finished state depends on: versions, and the paths and ports in it."""
    facts = REQUIREMENTS.read_bytes() + f"{lab.directory} {lab.base_port}".encode()
    return hashlib.sha256(facts).hexdigest()[:16]


def database_with_schemas(lab: Lab) -> None:
    """Start MariaDB with everything in it, from the kept copy when there is one."""
    template = lab.path("template", template_name(lab))
    keys = lab.path("etc", "keystone")
    service = mariadb(lab)
    if template.exists():
        run(lab, ["cp", "-a", str(template / "mysql"), str(lab.path("mysql"))])
        run(lab, ["cp", "-a", str(template / "fernet-keys"), str(template / "credential-keys"), str(keys)])
        service.start(lab)
        service.wait(lab)
        return
    make = ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={lab.path('mysql')}"]
    run(lab, [*make, "--skip-test-db", "--auth-root-authentication-method=socket"])
    service.start(lab)
    service.wait(lab)
    create_databases(lab)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(fill, lab) for fill in (fill_keystone, fill_placement, fill_glance, fill_nova)]:
            done.result()
    # A copy of a running database would be none.
    Processes(lab).stop("mariadb", timeout_s=60)
    shutil.rmtree(lab.path("template"), ignore_errors=True)
    template.mkdir(parents=True)
    run(lab, ["cp", "-a", str(lab.path("mysql")), str(keys / "fernet-keys"), str(keys / "credential-keys"), str(template)])
    service.start(lab)
    service.wait(lab)
