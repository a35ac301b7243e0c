"""Three sensors with clocks of their own, at the same 50 Hz instants."""

import numpy as np
import robocache as rc

MS = 1_000_000
start_ns = 1_767_225_600_000_000_000  # stamps are int64 nanoseconds; epoch times are fine

# A joint at 500 Hz, silent between 200 and 300 ms; an orientation at 100 Hz; a gripper that tells of changes only.
joint_ns = np.delete(start_ns + np.arange(0, 500 * MS, 2 * MS), slice(101, 150))
joint = np.sin((joint_ns - start_ns) * 1e-8).astype(np.float32)[:, None]

imu_ns = start_ns + np.arange(5 * MS, 500 * MS, 10 * MS)
half_angle = 1e-8 * (imu_ns - start_ns)  # it turns about z at 20 rad/s
zero = np.zeros_like(half_angle)
orientation = np.stack([zero, zero, np.sin(half_angle), np.cos(half_angle)], axis=1).astype(np.float32)

gripper_ns = start_ns + np.array([0, 130]) * MS
gripper = np.array([[80], [12]])

streams = [
    rc.Stream(joint, joint_ns, max_gap_ns=20 * MS, name="joint"),  # floats are linear unless said otherwise
    rc.Stream(orientation, imu_ns, interp="slerp", name="orientation"),
    rc.Stream(gripper, gripper_ns, name="gripper"),  # integers are held
]
at_ns = rc.grid(streams, hz=50)  # covers all of them
out = rc.align(streams, at_ns, dtype="float32")
joint_rows, orientation_rows, gripper_rows = out.split()  # one array a stream; out.values has them side by side

print(f"values {out.values.shape}, valid {out.valid.shape}, age_ns {out.age_ns.shape}")
for i, t_ns in enumerate(at_ns):
    marks = " ".join("valid" if ok else "  -  " for ok in out.valid[i])
    gripper_text = f"{gripper_rows[i, 0]:.0f} mm, said {out.age_ns[i, 2] // MS} ms ago"
    print(f"{(t_ns - start_ns) // MS:4d} ms  {marks}  joint {joint_rows[i, 0]:+.3f}  gripper {gripper_text}")
