#!/bin/bash
# Stand-ins of the functions and variables that DevStack gives to a plugin: each call is one line in $CALLS, nothing is done.
# What a plugin writes by itself (files) goes below $ROOT, because sudo here is just a prefix.
set -euo pipefail

# What stackrc, functions-common and lib/* set; the plugin reads them.
# shellcheck disable=SC2034
{
    DEST=$ROOT/opt/stack
    STACK_USER=$(id -un)
    SERVICE_HOST=192.0.2.10
    KEYSTONE_SERVICE_URI=http://192.0.2.10/identity
    SERVICE_PASSWORD="sec\$ret"
    SERVICE_PROJECT_NAME=service
    SERVICE_DOMAIN_NAME=Default
    REGION_NAME=RegionOne
    SERVICE_TIMEOUT=60
    ENABLE_DEBUG_LOG_LEVEL=True
    TEMPEST_CONFIG=$ROOT/tempest.conf
    HANODE_CONF_DIR=$ROOT/etc/hanode
    HANODE_STATE_DIR=$ROOT/var/lib/hanode
}

function record { echo "$*" >> "$CALLS"; }

for name in setup_develop install_package create_service_user run_process stop_process wait_for_service enable_service \
        define_plugin echo_summary; do
    eval "function $name { record $name \"\$@\"; }"
done

function is_ubuntu { [[ $DISTRIBUTION == ubuntu ]]; }
function is_service_enabled { [[ " $ENABLED " == *" $1 "* ]]; }
function get_python_exec_prefix { echo /usr/local/bin; }
function sudo { "$@"; }

function iniset {
    record iniset "$@"
    printf '[%s]\n%s = %s\n' "$2" "$3" "$4" >> "$1"
}

# shellcheck source=/dev/null
source "$PLUGIN/settings"
# shellcheck source=/dev/null
source "$PLUGIN/plugin.sh"
