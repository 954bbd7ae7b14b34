#!/bin/bash
# DevStack plugin of hanode: `enable_plugin hanode <git url>` in local.conf.

function install_hanode {
    pip_install "$HANODE_DIR"
    is_ubuntu && install_package ipmitool iputils-ping
}

function configure_hanode {
    sudo install -d -o "$STACK_USER" -m 0750 "$HANODE_CONF_DIR"
    install -m 0600 /dev/null "$HANODE_CONF"
    iniset "$HANODE_CONF" DEFAULT mode "$HANODE_MODE"
    iniset "$HANODE_CONF" keystone auth_url "$KEYSTONE_SERVICE_URI/v3"
    iniset "$HANODE_CONF" keystone username admin
    iniset "$HANODE_CONF" keystone password "$ADMIN_PASSWORD"
    iniset "$HANODE_CONF" keystone project_name admin
    iniset "$HANODE_CONF" keystone region_name "$REGION_NAME"
    iniset "$HANODE_CONF" keystone interface public
    iniset "$HANODE_CONF" journal url "$HANODE_JOURNAL_URL"
    iniset "$HANODE_CONF" protection hypervisor_kinds "$HANODE_HYPERVISOR_KINDS"
    iniset "$HANODE_CONF" fencing config_file "$HANODE_CONF_DIR/fencing.yaml"
    iniset "$HANODE_CONF" fencing config_dir "$HANODE_CONF_DIR/fencing.d"
    # Nodes of a job are virtual machines without BMCs: a host can be confirmed dead by hand, or give devices in fencing.d.
    [[ -e $HANODE_CONF_DIR/fencing.yaml ]] || install -m 0600 /dev/null "$HANODE_CONF_DIR/fencing.yaml"
}

if is_service_enabled hanode; then
    if [[ $1 == stack && $2 == install ]]; then
        install_hanode
    elif [[ $1 == stack && $2 == post-config ]]; then
        configure_hanode
    elif [[ $1 == stack && $2 == extra ]]; then
        run_process hanode "$(get_python_exec_prefix)/hanode run --config-file $HANODE_CONF"
    elif [[ $1 == unstack ]]; then
        stop_process hanode
    elif [[ $1 == clean ]]; then
        sudo rm -rf "$HANODE_CONF_DIR"
    fi
fi
