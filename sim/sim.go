// Package sim plays whole servers in virtual time: the real store, engine, dispatcher and logs, with simulated agents and a
// network, processes, disks and clocks that fail by a seed. After the faults end everything must come to its end, and what
// is stored must keep every promise. It holds no code of the product; its tests are the product's.
package sim
