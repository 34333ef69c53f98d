"""One budget for many images, devices and hosts."""
