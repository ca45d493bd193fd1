"""What goes over the wire: requests and answers as structs, by resource."""
