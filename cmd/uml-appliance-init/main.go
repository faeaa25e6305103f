// Command uml-appliance-init is the first process of a throw-away guest that works on a
// disc: see package inside. On a host it does nothing.
package main

import "uml/inside"

func main() { inside.Boot() }
