"""What is in the configuration files of the lab's services?

Only what a cloud of this size needs or what makes failures quick to see. The reporting interval is 2 s
and a service counts as down after 10 s, a fifth of Nova's defaults.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .layout import REGION, SECRET, Host, Lab

REPORT_INTERVAL_S = 2
SERVICE_DOWN_TIME_S = 10


def service_account(lab: Lab, user: str) -> str:
    return f"""auth_type = password
auth_url = {lab.auth_url}
username = {user}
password = {SECRET}
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = {REGION}
"""


def authtoken(lab: Lab, user: str) -> str:
    return f"""[keystone_authtoken]
www_authenticate_uri = {lab.auth_url}
service_token_roles = service
service_token_roles_required = true
{service_account(lab, user)}"""


def keystone(lab: Lab) -> str:
    return f"""[DEFAULT]
log_file = {lab.log("keystone-app")}
[database]
connection = {lab.database_url("keystone")}
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = {lab.path("etc", "keystone", "fernet-keys")}
[credential]
key_repository = {lab.path("etc", "keystone", "credential-keys")}
"""


def placement(lab: Lab) -> str:
    return f"""[DEFAULT]
log_file = {lab.log("placement-app")}
[placement_database]
connection = {lab.database_url("placement")}
[api]
auth_strategy = keystone
[oslo_policy]
policy_dirs = {lab.path("etc", "placement", "policy.d")}
{authtoken(lab, "placement")}"""


def glance(lab: Lab) -> str:
    return f"""[DEFAULT]
log_file = {lab.log("glance-app")}
enabled_backends = images:file
worker_self_reference_url = {lab.url("glance")}
enabled_import_methods = []
[database]
connection = {lab.database_url("glance")}
[glance_store]
default_backend = images
[images]
filesystem_store_datadir = {lab.path("glance", "images")}
[os_glance_staging_store]
filesystem_store_datadir = {lab.path("glance", "staging")}
[os_glance_tasks_store]
filesystem_store_datadir = {lab.path("glance", "tasks")}
[oslo_policy]
policy_dirs = {lab.path("etc", "glance", "policy.d")}
[paste_deploy]
flavor = keystone
config_file = {lab.path("etc", "glance", "glance-api-paste.ini")}
{authtoken(lab, "glance")}"""


def nova(lab: Lab) -> str:
    """One worker per daemon: workers are forked after the first call to Placement and share its
    connection; two of them read each other's answers, and an evacuation stays in REBUILD for ever.
    """
    account = service_account(lab, "nova")
    return f"""[DEFAULT]
transport_url = {lab.broker_url}
state_path = {lab.path("nova")}
my_ip = 127.0.0.1
compute_driver = hanodelab.HanodeLabDriver
report_interval = {REPORT_INTERVAL_S}
service_down_time = {SERVICE_DOWN_TIME_S}
sync_power_state_interval = 60
periodic_fuzzy_delay = 5
update_resources_interval = 30
reserved_host_memory_mb = 0
vif_plugging_timeout = 0
vif_plugging_is_fatal = false
[oslo_concurrency]
lock_path = {lab.path("nova", "lock")}
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 5
[filter_scheduler]
track_instance_changes = false
[quota]
instances = -1
cores = -1
ram = -1
server_groups = -1
server_group_members = -1
injected_files = -1
[image_cache]
manager_interval = -1
[oslo_policy]
policy_dirs = {lab.path("etc", "nova", "policy.d")}
[vnc]
enabled = false
[wsgi]
api_paste_config = {lab.path("etc", "nova", "api-paste.ini")}
[placement]
{account}
[neutron]
endpoint_override = {lab.url("network")}
{account}
[glance]
endpoint_override = {lab.url("glance")}
{account}
[service_user]
send_service_user_token = true
{account}
{authtoken(lab, "nova")}"""


def nova_database(lab: Lab) -> str:
    """For the control plane only: a nova-compute that knows a database tries to use it, in vain."""
    return f"""[api_database]
connection = {lab.database_url("nova_api")}
max_pool_size = 20
[database]
connection = {lab.database_url("nova")}
max_pool_size = 20
"""


def nova_compute(host: Host) -> str:
    return f"""[DEFAULT]
host = {host.name}
state_path = {host.state}
instances_path = {host.instances}
my_ip = {host.host_ip}
[oslo_concurrency]
lock_path = {host.state}/lock
"""


def rabbit(lab: Lab) -> str:
    return f"""listeners.tcp.1 = 127.0.0.1:{lab.port("rabbit")}
default_user = lab
default_pass = {SECRET}
disk_free_limit.absolute = 50MB
log.file = {lab.log("rabbit-app")}
log.file.level = info
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_all(lab: Lab) -> None:
    etc = lab.path("etc")
    write(etc / "keystone" / "keystone.conf", keystone(lab))
    write(etc / "placement" / "placement.conf", placement(lab))
    write(etc / "glance" / "glance-api.conf", glance(lab))
    write(etc / "nova" / "nova.conf", nova(lab))
    write(etc / "nova" / "database.conf", nova_database(lab))
    write(etc / "rabbit" / "rabbitmq.conf", rabbit(lab))
    write(etc / "rabbit" / "enabled_plugins", "[].\n")
    # Glance and Nova bring their pipelines along; glance's sample configuration would replace ours.
    shutil.copy(lab.path("venv", "etc", "glance", "glance-api-paste.ini"), etc / "glance")
    shutil.copy(lab.path("venv", "etc", "nova", "api-paste.ini"), etc / "nova")
    for name in ("images", "staging", "tasks"):
        lab.path("glance", name).mkdir(parents=True, exist_ok=True)
    lab.path("nova", "lock").mkdir(parents=True, exist_ok=True)
    lab.path("home").mkdir(exist_ok=True)
    for host in lab.hosts:
        write(host.config, nova_compute(host))
        (host.state / "lock").mkdir(parents=True, exist_ok=True)
        host.storage.mkdir(parents=True, exist_ok=True)
        host.local_instances.mkdir(exist_ok=True)
        host.instances.symlink_to(host.storage)
