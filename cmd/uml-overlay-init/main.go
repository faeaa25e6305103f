// Command uml-overlay-init is the first process of a guest whose root is an overlay: see
// uml-disk(8), create --overlay. It runs in the guest, from the initramfs that uml-disk
// writes; on a host it does nothing.
package main

import "uml/overlay"

func main() { overlay.Boot() }
