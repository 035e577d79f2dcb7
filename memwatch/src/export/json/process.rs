//! The fields of a process and its thread.

use memwatch_ebpf::abi::header::cgroup_number;

use super::line::Line;
use super::naming;
use crate::core::fact::{Identity, ProcessKey};
use crate::enrich::cri::Containers;
use crate::export::schema::fields;
use crate::export::subject::Subject;
use crate::export::words;

/// The process of a fact.
pub(super) fn write(line: &mut Line<'_>, subject: &Subject<'_>, containers: &Containers) {
    key(line, subject.key);
    line.maybe(&fields::PROCESS_PARENT_PID, subject.parent_tgid());
    line.text(&fields::PROCESS_COMM, subject.comm());
    line.maybe(&fields::PROCESS_REAL_USER_ID, subject.uid());
    line.maybe(&fields::CGROUP_ID, subject.cgroup_id().map(cgroup_number));
    if let Some(identity) = subject.identity {
        known(line, identity, containers);
    }
}

/// A process by itself.
pub(super) fn write_identity(line: &mut Line<'_>, identity: &Identity, containers: &Containers) {
    key(line, identity.key);
    line.maybe(&fields::PROCESS_PARENT_PID, identity.parent_tgid);
    if !identity.comm.is_empty() {
        line.text(&fields::PROCESS_COMM, &identity.comm);
    }
    line.maybe(&fields::PROCESS_REAL_USER_ID, identity.uid);
    line.maybe(&fields::CGROUP_ID, identity.cgroup_id.map(cgroup_number));
    known(line, identity, containers);
}

/// The thread of a fact.
pub(super) fn write_thread(line: &mut Line<'_>, subject: &Subject<'_>) {
    line.number(&fields::THREAD_ID, subject.tid);
    line.text(&fields::THREAD_NAME, subject.thread_name);
}

fn key(line: &mut Line<'_>, key: ProcessKey) {
    line.number(&fields::PROCESS_PID, key.tgid);
    if key.start_ns != 0 {
        line.time(&fields::PROCESS_CREATION_TIME, key.start_ns);
        line.number(&fields::PROCESS_START_NS, key.start_ns);
    }
}

fn known(line: &mut Line<'_>, identity: &Identity, containers: &Containers) {
    if let Some(exe) = &identity.exe {
        line.text(&fields::PROCESS_EXECUTABLE_PATH, exe);
        line.text(&fields::PROCESS_EXECUTABLE_NAME, exe.rsplit(|&byte| byte == b'/').next().unwrap_or(exe));
    }
    if !identity.args.is_empty() {
        line.texts(&fields::PROCESS_COMMAND_ARGS, &identity.args);
        if identity.args_cut {
            line.flag(&fields::PROCESS_COMMAND_ARGS_CUT, true);
        }
    }
    if let Some(path) = &identity.cgroup_path {
        line.text(&fields::CGROUP_PATH, path.as_bytes());
    }
    if let Some(hierarchy) = identity.cgroup_hierarchy {
        line.word(&fields::CGROUP_HIERARCHY, words::hierarchy(hierarchy));
    }
    if let Some(unit) = &identity.unit {
        line.text(&fields::UNIT, unit.as_bytes());
    }
    if let Some(slice) = &identity.slice {
        line.text(&fields::SLICE, slice.as_bytes());
    }
    if let Some(container) = &identity.container {
        line.text(&fields::CONTAINER_ID, container.id.as_bytes());
        if let Some(runtime) = container.runtime {
            line.word(&fields::CONTAINER_RUNTIME, runtime);
        }
        if let Some(naming) = containers.naming(&container.id) {
            naming::write(line, &naming, identity.pod.is_some());
        }
    }
    if let Some(pod) = &identity.pod {
        line.text(&fields::K8S_POD_UID, pod.uid.as_bytes());
        if let Some(qos) = pod.qos {
            line.word(&fields::K8S_POD_QOS_CLASS, words::qos(qos));
        }
    }
}
