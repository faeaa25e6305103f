package main

import (
	"fmt"
	"net"
	"os"
)

// stand listens as a service of the host does, on ADDRESS:PORT and on the abstract
// socket NAME, and says its process id.
func stand(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("stand ADDRESS:PORT NAME")
	}
	tcp, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer tcp.Close()
	abstract, err := net.Listen("unix", "@"+args[1])
	if err != nil {
		return err
	}
	defer abstract.Close()
	fmt.Println(os.Getpid())
	for { // connections wait in the backlog
		if _, err := tcp.Accept(); err != nil {
			return err
		}
	}
}
