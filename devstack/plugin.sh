#!/bin/bash
# DevStack plugin of hanode: `enable_plugin hanode <git url>` in local.conf.
#
# DevStack sources this file in each of its phases, after settings, with its own functions at hand.

function install_hanode {
    setup_develop "$HANODE_DIR"
    # iputils brings ping, the default probe.
    if is_ubuntu; then
        install_package ipmitool iputils-ping
    else
        install_package ipmitool iputils
    fi
}

function create_hanode_accounts {
    # Admin, because only an administrator may evacuate, and see the servers of every project.
    create_service_user hanode admin
}

function configure_hanode {
    sudo install -d -o "$STACK_USER" -m 0750 "$HANODE_CONF_DIR" "$HANODE_STATE_DIR"
    # Closed before the password is written.
    install -m 0600 /dev/null "$HANODE_CONF"

    iniset "$HANODE_CONF" DEFAULT mode "$HANODE_MODE"
    iniset "$HANODE_CONF" DEFAULT debug "$ENABLE_DEBUG_LOG_LEVEL"
    iniset "$HANODE_CONF" keystone auth_url "$KEYSTONE_SERVICE_URI"
    iniset "$HANODE_CONF" keystone username hanode
    # oslo.config takes a single $ for the name of an option.
    iniset "$HANODE_CONF" keystone password "${SERVICE_PASSWORD//\$/\$\$}"
    iniset "$HANODE_CONF" keystone project_name "$SERVICE_PROJECT_NAME"
    iniset "$HANODE_CONF" keystone user_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$HANODE_CONF" keystone project_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$HANODE_CONF" keystone region_name "$REGION_NAME"
    # DevStack's catalogue has public endpoints only.
    iniset "$HANODE_CONF" keystone interface public
    if [[ -n ${SSL_BUNDLE_FILE:-} ]]; then
        iniset "$HANODE_CONF" keystone cafile "$SSL_BUNDLE_FILE"
    fi
    iniset "$HANODE_CONF" journal url "$HANODE_JOURNAL_URL"
    iniset "$HANODE_CONF" web port "$HANODE_WEB_PORT"
    iniset "$HANODE_CONF" protection hypervisor_kinds "$HANODE_HYPERVISOR_KINDS"
    iniset "$HANODE_CONF" fencing config_file "$HANODE_CONF_DIR/fencing.yaml"
    iniset "$HANODE_CONF" fencing config_dir "$HANODE_CONF_DIR/fencing.d"

    # Nodes of a job are virtual machines without BMCs: a host can be confirmed dead by hand, or give devices in fencing.d.
    if [[ ! -e $HANODE_CONF_DIR/fencing.yaml ]]; then
        install -m 0600 /dev/null "$HANODE_CONF_DIR/fencing.yaml"
    fi
}

function start_hanode {
    # run_process makes the unit devstack@hanode.
    run_process hanode "$HANODE_BIN_DIR/hanode run --config-file $HANODE_CONF"
    wait_for_service "$SERVICE_TIMEOUT" "http://127.0.0.1:$HANODE_WEB_PORT/readyz"
}

function configure_tempest_for_hanode {
    iniset "$TEMPEST_CONFIG" service_available hanode True
}

function cleanup_hanode {
    sudo rm -rf "${HANODE_CONF_DIR:?}" "${HANODE_STATE_DIR:?}"
}

if is_service_enabled hanode; then
    if [[ "$1" == stack && "$2" == install ]]; then
        echo_summary "Installing hanode"
        install_hanode
    elif [[ "$1" == stack && "$2" == post-config ]]; then
        echo_summary "Configuring hanode"
        create_hanode_accounts
        configure_hanode
    elif [[ "$1" == stack && "$2" == extra ]]; then
        echo_summary "Starting hanode"
        start_hanode
    elif [[ "$1" == stack && "$2" == test-config ]] && is_service_enabled tempest; then
        configure_tempest_for_hanode
    elif [[ "$1" == unstack ]]; then
        stop_process hanode
    elif [[ "$1" == clean ]]; then
        cleanup_hanode
    fi
fi
