"""Code that runs on the GPU: functions of Triton, compiled at first use or interpreted."""
