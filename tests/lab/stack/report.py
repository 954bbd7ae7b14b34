"""How do people, openstacksdk and tests learn where the lab's services are?

Three files in the lab's directory: `openrc` for a shell, `clouds.yaml` for openstacksdk, `lab.json` with
everything else for programs.
"""

from __future__ import annotations

import json

from .layout import IPMI_USER, REGION, SECRET, Lab
from .services import catalogue


def openrc(lab: Lab) -> str:
    variables = {
        "OS_AUTH_URL": lab.auth_url,
        "OS_USERNAME": "admin",
        "OS_PASSWORD": SECRET,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_REGION_NAME": REGION,
        "OS_IDENTITY_API_VERSION": "3",
        "HANODE_LAB_DIR": str(lab.directory),
    }
    return "".join(f"export {name}={value}\n" for name, value in variables.items())


def clouds_yaml(lab: Lab) -> str:
    return f"""clouds:
  hanode-lab:
    region_name: {REGION}
    auth:
      auth_url: {lab.auth_url}
      username: admin
      password: {SECRET}
      project_name: admin
      user_domain_id: default
      project_domain_id: default
"""


def lab_json(lab: Lab) -> str:
    facts = {
        "directory": str(lab.directory),
        "auth": {
            "auth_url": lab.auth_url,
            "username": "admin",
            "password": SECRET,
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": REGION,
        },
        "clouds_yaml": str(lab.path("clouds.yaml")),
        "python": str(lab.python),
        "etcd_endpoints": lab.etcd_endpoints,
        "broker_url": lab.broker_url,
        "database_socket": str(lab.database_socket),
        "domains": {domain: str(lab.domain_directory(domain)) for domain in lab.domains},
        "hosts": {host.name: host.describe() for host in lab.hosts},
        "ipmi_user": IPMI_USER,
        "run": str(lab.path("run")),
        "logs": {name: str(lab.log(name)) for name in catalogue(lab)},
    }
    return json.dumps(facts, indent=2) + "\n"


def write_reports(lab: Lab) -> None:
    # The last one written says that the lab is complete.
    lab.path("openrc").write_text(openrc(lab))
    lab.path("clouds.yaml").write_text(clouds_yaml(lab))
    lab.path("lab.json").write_text(lab_json(lab))
