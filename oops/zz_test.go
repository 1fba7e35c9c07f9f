package oops
import ("testing";"os";"path/filepath";"fmt";"strings")
func TestZZ(t *testing.T){
 var fs []string
 for _,g:=range strings.Split(os.Getenv("ZZ")," ") { m,_:=filepath.Glob(g); fs=append(fs,m...) }
 for _,f:=range fs { b,_:=os.ReadFile(f); l,err:=Parse(b)
  fmt.Println("==",f,l.Lines,"boots",len(l.Boots),"reqs",len(l.Requests),err)
  for _,o:=range l.Oopses {
   cpu,pid:=-1,-1; if o.CPU!=nil{cpu=*o.CPU}; if o.PID!=nil{pid=*o.PID}
   pc:=""; if o.PC!=nil {pc=o.PC.String()}
   fmt.Printf("  %s | %.70s | L%d-%d b%d cpu=%d pid=%d comm=%s rel=%s pc=%s tr=%d mods=%d regs=%d code=%d panic=%q pst=%v fault=%v tasks=%d msg=%q stuck=%v bt=%d\n",o.Kind,o.Title,o.FirstLine,o.LastLine,o.Boot,cpu,pid,o.Comm,o.Release,pc,len(o.Trace),len(o.Modules),len(o.Registers),len(o.Code),o.Panic,o.PanicState!=nil,o.Fault!=nil,len(o.Tasks),o.Message,o.StuckCPUs,len(o.Backtraces))
   if os.Getenv("TR")!="" { for _,f:=range o.Trace { fmt.Println("      ",f.Context,f.Unsure,f.Interrupted,f.String(), len(f.Registers)) } }
  }}
}
