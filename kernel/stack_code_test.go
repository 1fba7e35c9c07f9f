package kernel

import "testing"

// TestStackEntryKinds: what the entries into the kernel are for, by their names since 4.14.
func TestStackEntryKinds(t *testing.T) {
	names := map[FrameKind][]string{
		FrameNMI:       {"asm_exc_nmi", "end_repeat_nmi", "nmi"},
		FrameException: {"asm_exc_page_fault", "asm_exc_spurious_interrupt_bug", "page_fault", "error_entry", "el1h_64_sync", "el1h_64_error"},
		FrameIRQ:       {"asm_common_interrupt", "asm_sysvec_apic_timer_interrupt", "ret_from_intr", "el1h_64_irq", "el1_irq", "el0t_64_fiq"},
		FrameSyscall:   {"entry_SYSCALL_64_after_hwframe", "entry_SYSENTER_compat_after_hwframe", "entry_INT80_compat", "asm_int80_emulation", "el0_svc", "ret_from_fork_asm"},
	}
	for want, list := range names {
		for _, name := range list {
			if got := entryKind(name, regsOf(&x86Regs)); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
}

// regsOf makes registers, all zero but those that set names in pairs with their values.
func regsOf(form *ptForm, set ...any) *PtRegs {
	r := &PtRegs{form: form, values: make([]uint64, len(form.names))}
	for i := 0; i < len(set); i += 2 {
		for n, name := range form.names {
			if name == set[i] {
				r.values[n] = set[i+1].(uint64)
			}
		}
	}
	return r
}

// TestStackEntryEvents: entries that serve several events tell which by what they saved.
func TestStackEntryEvents(t *testing.T) {
	tests := []struct {
		name string
		regs *PtRegs
		want FrameKind
	}{
		{"asm_fred_entrypoint_user", regsOf(&x86Regs, "ss", uint64(0x0007_0001_0001_002b)), FrameSyscall},
		{"asm_fred_entrypoint_user", regsOf(&x86Regs, "ss", uint64(0x0004_0080_0000_002b)), FrameSyscall},
		{"asm_fred_entrypoint_kernel", regsOf(&x86Regs, "ss", uint64(0x0000_00ec_0000_0018)), FrameIRQ},
		{"asm_fred_entrypoint_kernel", regsOf(&x86Regs, "ss", uint64(0x0002_0002_0004_0018)), FrameNMI},
		{"asm_fred_entrypoint_kernel", regsOf(&x86Regs, "ss", uint64(0x0003_000e_0000_0018)), FrameException},
		{"el0t_64_sync", regsOf(&arm64Regs, "syscallno", uint64(64)), FrameSyscall},
		{"el0t_64_sync", regsOf(&arm64Regs, "syscallno", uint64(0xffffffff)), FrameException},
	}
	for _, tt := range tests {
		if got := entryKind(tt.name, tt.regs); got != tt.want {
			t.Errorf("%s is %s, want %s", tt.name, got, tt.want)
		}
	}
	if !regsOf(&x86Regs, "cs", uint64(0x33)).User() || regsOf(&x86Regs, "cs", uint64(0x10)).User() {
		t.Error("x86_64 tells user mode by the privilege level in cs")
	}
	if !regsOf(&arm64Regs, "pstate", uint64(0x80001000)).User() || regsOf(&arm64Regs, "pstate", uint64(0x60400005)).User() {
		t.Error("arm64 tells user mode by the exception level in pstate")
	}
}

// TestStackCalls: the instructions before return addresses, as GNU as encodes them.
func TestStackCalls(t *testing.T) {
	calls := map[string]string{
		"call rel32":               "\x90\x90\xe8\x01\x02\x03\x04",
		"call *%rax":               "\x90\x90\x90\x90\x90\xff\xd0",
		"call *%r11":               "\x90\x90\x90\x90\x41\xff\xd3",
		"call *(%rax)":             "\x90\x90\x90\x90\x90\xff\x10",
		"call *0x18(%rbx)":         "\x90\x90\x90\x90\xff\x53\x18",
		"call *0x118(%rbx)":        "\x90\xff\x93\x18\x01\x00\x00",
		"call *(%rax,%rcx,8)":      "\x90\x90\x90\x90\xff\x14\xc8",
		"call *0x8(%rsp)":          "\x90\x90\x90\xff\x54\x24\x08",
		"call *0x108(%rsp)":        "\xff\x94\x24\x08\x01\x00\x00",
		"call *0x1234(%rip)":       "\x90\xff\x15\x34\x12\x00\x00",
		"call *-0x7e000000(,%rax)": "\xff\x14\xc5\x00\x00\x00\x82",
	}
	for name, b := range calls {
		if !endsInCall([]byte(b)) {
			t.Errorf("%s is not taken for a call", name)
		}
	}
	for name, b := range map[string]string{
		"jmp *%rax":       "\x90\x90\x90\x90\x90\xff\xe0",
		"push 0x18(%rbx)": "\x90\x90\x90\x90\xff\x73\x18",
		"nop":             "\x90\x90\x90\x90\x90\x90\x90",
	} {
		if endsInCall([]byte(b)) {
			t.Errorf("%s is taken for a call", name)
		}
	}
	for insn, want := range map[uint32]bool{
		0x97fffff0: true, 0xd63f0020: true, 0xd73f0821: true, 0xd63f083f: true, // bl, blr x1, blraa x1, x1, blraaz x1
		0x17fffff0: false, 0xd61f0020: false, 0xd65f03c0: false, // b, br x1, ret
	} {
		if got := arm64Call(insn); got != want {
			t.Errorf("%#x is a call: %t", insn, got)
		}
	}
}

// TestStackPushes: where a function has pushed rbp.
func TestStackPushes(t *testing.T) {
	for code, want := range map[string]int{
		"\x55\x48\x89\xe5": 1, // push %rbp; mov %rsp,%rbp
		"\xf3\x0f\x1e\xfa\x0f\x1f\x44\x00\x00\x41\x57\x41\x56\x55\x53": 3, // endbr64; nop; push %r15, %r14, %rbp
		"\xe8\x00\x00\x00\x00\x41\x54\x55\x53":                         2, // call __fentry__; push %r12, %rbp
		"\x0f\x1f\x44\x00\x00\x53\x48\x89\xfb":                         0, // push %rbx; mov %rdi,%rbx
		"\x41":                                                         0,
		"":                                                             0,
	} {
		if got := pushes([]byte(code)); got != want {
			t.Errorf("% x: %d, want %d", code, got, want)
		}
	}
}
