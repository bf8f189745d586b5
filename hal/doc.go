package hal
