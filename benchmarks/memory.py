"""The memory of this process, in MiB."""

import resource
from pathlib import Path


def restart_peak() -> float:
    """Forget what the imports took at their peak, where the system can; what is in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return peak_mib()
    return _from_status("VmRSS") or peak_mib()


def peak_mib() -> float:
    """The largest resident size so far."""
    return _from_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _from_status(name: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)
