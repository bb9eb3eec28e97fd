use std::fs;

use super::exposition::{Exposition, Kind};

/// Clock ticks of a second in what Linux tells programs; the same on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes the figures of this process, under the names that Prometheus' own clients
/// use; where there is no Linux, nothing.
pub fn process(out: &mut Exposition) {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else {
        return;
    };
    // The second field is the program's name in brackets and may hold anything.
    let fields: Vec<&str> = match stat.rsplit_once(')') {
        Some((_, rest)) => rest.split_whitespace().collect(),
        None => return,
    };
    // Counted from the third field (proc_pid_stat(5)): 14 and 15 are the ticks in user
    // and kernel mode, 20 the threads, 22 the start in ticks since boot.
    let field = |number: usize| {
        let text = fields.get(number - 3)?;
        text.parse::<f64>().ok()
    };
    if let Some((user, kernel)) = field(14).zip(field(15)) {
        let seconds = (user + kernel) / TICKS_PER_SECOND;
        let help = "Processor time used.";
        out.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
    }
    if let Some(threads) = field(20) {
        out.single("process_threads", Kind::Gauge, "Threads.", threads);
    }
    if let Some((boot, ticks)) = boot_time().zip(field(22)) {
        let at = boot + ticks / TICKS_PER_SECOND;
        let help = "When the process started, in seconds since 1970.";
        out.single("process_start_time_seconds", Kind::Gauge, help, at);
    }
    memory(out);
    descriptors(out);
}

fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn memory(out: &mut Exposition) {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return;
    };
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024.0)
    };
    if let Some(bytes) = bytes("VmRSS:") {
        let help = "Memory in use.";
        out.single("process_resident_memory_bytes", Kind::Gauge, help, bytes);
    }
    if let Some(bytes) = bytes("VmSize:") {
        let help = "Address space in use.";
        out.single("process_virtual_memory_bytes", Kind::Gauge, help, bytes);
    }
}

fn descriptors(out: &mut Exposition) {
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The one that reads the folder is none of the process's own.
        let count = u32::try_from(open.count().saturating_sub(1)).unwrap_or(u32::MAX);
        let help = "Open file descriptors.";
        out.single("process_open_fds", Kind::Gauge, help, f64::from(count));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok());
    if let Some(most) = most {
        let help = "File descriptors that may be open.";
        out.single("process_max_fds", Kind::Gauge, help, most);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn figures_of_this_process_are_there_and_possible() {
        let mut out = Exposition::default();
        process(&mut out);
        let text = out.into_text();
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.split(' ').next() == Some(name));
            let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(1e6 < value("process_resident_memory_bytes"));
        assert!(3.0 <= value("process_open_fds"));
        assert!(value("process_open_fds") <= value("process_max_fds"));
        assert!(1.0 <= value("process_threads"));
        assert!(0.0 <= value("process_cpu_seconds_total"));
        assert!(1.6e9 < value("process_start_time_seconds"));
    }
}
