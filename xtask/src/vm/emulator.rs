//! QEMU: where it is, and the command line of a guest.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::archive::Program;

/// Where its packages keep firmware.
const FIRMWARE: [&str; 2] = ["usr/share/seabios", "usr/share/qemu"];

/// How the guest's processors come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    /// The machine's own, by KVM.
    Kvm,
    /// Two emulated ones, which take turns: QEMU 7.2 is not faithful between processors that run at the same time. With a
    /// thread for each, one boot in eight oopsed on cmpxchg16b, and others on breakpoints that a static key had put
    /// into the kernel's code and taken out again.
    Emulated,
}

/// What a guest is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) processor: Processor,
    pub(super) memory_mib: u32,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) image: PathBuf,
    pub(super) job: PathBuf,
    pub(super) is_interactive: bool,
}

/// The files a running guest writes below its folder.
pub(super) const CONSOLE: &str = "console.log";
pub(super) const OUTPUT: &str = "output";
pub(super) const RESULTS: &str = "results.tar";
/// The file of the emulator's own complaints.
pub(super) const COMPLAINTS: &str = "emulator.log";

/// The emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    program: Program,
}

impl Emulator {
    /// Finds it on the machine, or unpacks Debian's.
    ///
    /// # Errors
    /// The packages cannot be had.
    pub(super) fn find(guest: &Path) -> Result<Self> {
        Ok(Self { program: Program::find(guest, "qemu-system-x86", "usr/bin/qemu-system-x86_64")? })
    }

    /// The command that runs a guest; its files lie in `run`.
    ///
    /// # Errors
    /// The unpacked emulator is not complete.
    pub(super) fn command(&self, parts: &Parts, run: &Path) -> Result<Command> {
        let words = self.program.words()?;
        // The guest must not outlive the task, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(words).current_dir(run).env("TMPDIR", run);
        if let Some(folder) = self.program.folder() {
            for firmware in FIRMWARE {
                command.arg("-L").arg(folder.join(firmware));
            }
            command.env("QEMU_MODULE_DIR", folder.join("usr/lib/x86_64-linux-gnu/qemu"));
        }
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m"]);
        command.arg(parts.memory_mib.to_string());
        command.args(match parts.processor {
            Processor::Kvm => ["-accel", "kvm", "-cpu", "host", "-smp", "2"],
            Processor::Emulated => ["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2"],
        });
        command.arg("-kernel").arg(&parts.kernel).arg("-initrd").arg(&parts.initrd);
        command.args(["-append", &kernel_arguments(parts.is_interactive)]);
        for (name, path, options) in
            [("root", &parts.image, "snapshot=on,cache=unsafe"), ("job", &parts.job, "readonly=on")]
        {
            let path = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
            // A comma ends an option unless it is doubled.
            let path = path.replace(',', ",,");
            command.args(["-drive", &format!("if=none,id={name},format=raw,file={path},{options}")]);
            command.args(["-device", &format!("virtio-blk-pci,drive={name},serial={name}")]);
        }
        command.args(["-device", "virtio-serial-pci"]);
        for (name, file) in [("output", OUTPUT), ("results", RESULTS)] {
            command.args(["-chardev", &format!("file,id={name},path={file}")]);
            command.args(["-device", &format!("virtserialport,chardev={name},name={name}")]);
        }
        let console = if parts.is_interactive {
            "stdio,id=console,signal=off".to_owned()
        } else {
            let complaints = run.join(COMPLAINTS);
            let complaints = File::create(&complaints)
                .with_context(|| format!("cannot create {}", complaints.display()))?;
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
            format!("file,id=console,path={CONSOLE}")
        };
        command.args(["-chardev", &console, "-serial", "chardev:console"]);
        Ok(command)
    }
}

/// The kernel's command line: a guest that panics ends at once, and one that oopses panics. Without udev a login
/// on the console would keep systemd waiting for its device. A lock-up is one after 120 s, the most there is, and not
/// 20 s, as an emulated processor may wait that long for a busy host.
fn kernel_arguments(is_interactive: bool) -> String {
    let verbosity = if is_interactive { 4 } else { 5 };
    format!(
        "console=ttyS0 loglevel={verbosity} panic=-1 oops=panic watchdog_thresh=60 mitigations=off random.trust_cpu=on \
         systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 systemd.mask=serial-getty@ttyS0.service"
    )
}
