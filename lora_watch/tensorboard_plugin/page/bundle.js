/* Made by tests/front_end/check.py --fix of sources 2f6b146dd7a576ac9154d27404561578b826aa5a02f9aab74185975cdbda16b1 */
var us=Object.defineProperty;var rt=(t,e)=>{for(var s in e)us(t,s,{get:e[s],enumerable:!0})};var ae={ΔW:"s·B·A: what an adapter adds to the frozen weight W₀ of its layer",blocks:"the transformer blocks that h\
old adapters: what each one adds is carried on by all that follow",zone:"the rules’ word for the run at a step, from hea\
lthy to exploding: it follows from the open alerts",output_ratio:"‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an \
adapter adds to what its layer gives","depth-scaled output ratio":"the 90th percentile of output_ratio over adapters × d\
epth",depth:"transformer blocks × √(adapted modules of a block / 6), the root at most 1",delta_norm:"‖ΔW‖: Frobenius \
norm of the adapter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·\
Σlr·√(d_out·r/3): what Adam reaches from the default start if every step agrees",drift_norm:"‖ΔW − ΔW at the start‖\
: what was learned where the adapter did not begin at zero",spectral_norm:"σ₁(ΔW): the largest singular value of the ada\
pter update",relative_norm:"‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight",relative_spectral_norm:"\
σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values",effective_rank:"exp o\
f the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖ΔW‖² / σ₁²: a lower, s\
teadier count of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"‖B‖: Frobenius norm of \
the factor B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"‖∂B‖ as it reaches the o\
ptimizer, after clipping",step_norm:"‖ΔW now − ΔW one step before‖: how far one optimizer step goes",a_changed:"\
share of 64 numbers of A that the last update changed; below 1 where rounding loses updates",b_changed:"share of 64 numb\
ers of B that the last update changed; below 1 where rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ of the base wei\
ght: 0, since it is frozen",scale:"s: the live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s · lr: scale × \
learning rate of the parameter group that holds B",lr:"learning rate of the first parameter group",loss:"mean training l\
oss of the whole optimizer step, NaN kept",expected:"the loss that the run’s own course predicts for the step",gain:"s\
hare of its start that the loss has lost: (start − mean of the last five) / start",overhead:"share of the wall time th\
at the monitor took after the first 20 steps, which are all measured in full",adapters:"LoRA modules that are monitored",
step:"optimizer steps done",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is made",base_norm:"‖\
W₀‖: Frobenius norm of the frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular value of the frozen base\
 weight",group:"index of the optimizer’s parameter group",spectrum:"all singular values σ of ΔW, largest first",max:"\
the largest of any adapter",p90:"90th percentile over adapters",median:"median over adapters",verdict:"the alert that th\
e rules put first, else their word for the run",end:"the run’s own word for its end",steps:"optimizer steps done, of t\
hose planned","loss, mean of five":"mean of the last five losses; gain: the share of its start that it has lost","‖ΔW‖, \
largest":"Frobenius norm of the adapter update ΔW, the largest of any adapter","‖ΔW‖, median":"Frobenius norm of t\
he adapter update ΔW, median over adapters",alerts:"episodes by severity: one cause makes one alert, which opens, lasts\
 and closes",Severity:"ERROR: the run fails or will; WARNING: something to act on; INFO: worth knowing",Rule:"its id, as\
 in lora-watch rules and in mute=",Held:"for how many steps its cause lasted",Adapters:"the adapter concerned, the worst\
 first, and how many more",Colour:"the colours compare values, each adapter with itself, or adapters with each other at \
a step",Rows:"rows next to each other: modules of a kind, or those of a block","Stand out":"the adapters that are farthe\
st from the median of all at the step, and by which factor; broken ones first",Kind:"kind of the adapted layer","W₀":"\
the frozen base weight, rows × columns","B · A":"the factors of the adapter update, rows × columns",Trainable:"traina\
ble numbers of the adapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"σ₁(ΔW) / σ₁(W₀), largest singu\
lar values",A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"the run step by step: gain of the los\
s against depth-scaled output ratio, in the colours of its zones"},dt=t=>Object.hasOwn(ae,t)?ae[t]:void 0,fs=[[/^output_ratio$/,
"ratio of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],[/_norm$/,"Frobenius norm"],[/_rank$/,"di\
rections"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,"per step"],[/^loss/,"loss"],
[/^scale$/,"s"]],ie=t=>fs.find(([e])=>e.test(t))?.[1];var ms="http://www.w3.org/2000/svg";function ce(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var v=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>ce(document.
createElement(t),e,s),b=(t,e,...s)=>ce(document.createElementNS(ms,t),e,s),q=(t,e,s,n,r={})=>b("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),tt=(t,e,s)=>b("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function $(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var he=t=>$(t,1e-4);function T(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var ps={lr:"learning rate",b:"B",rslora:"rsLoRA",dora:"DoRA",adalora:"AdaLoRA",non:"non-"},F=t=>{let e=t.
split(/[-_]/).map(s=>ps[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:e.charAt(0).toUpperCase()+
e.slice(1)},E={bubble(){let t=document.getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.
body.append(t),t},show(t,...e){let s=this.bubble();s.replaceChildren(...e.flat().filter(i=>i!=null&&i!==!1).map(i=>i instanceof
Node?i:c("div",null,i))),s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.
left=`${Math.max(4,o?t.clientX+14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}\
px`},under(t,...e){let{left:s,bottom:n}=t.getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.
bubble().style.display="none"}},ut=t=>({tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.
preventDefault(),e.stopPropagation(),t(e))}}),ot=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("\
span",null,e),c("b",null,s)),j=["ERROR","WARNING","INFO"],le={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-\
4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z"},at=t=>le[t]??le.INFO,R=(t,e=14)=>b("svg",{class:`severity ${L(t)}`,viewBox:"\
-7 -7 14 14",width:e,height:e,"aria-hidden":"true"},b("path",{d:at(t)})),L=t=>j.includes(t)?t.toLowerCase():"info";function A(t,e=t){
let s=dt(e);return s?et(t,s):t}function et(t,e,s={}){let n=({currentTarget:o})=>{E.under(o,e),o.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:o})=>{E.hide(),o.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}function Ft(t){if(t.length<=16)return t;
let e=Math.min(10,Math.floor(t.length/2)),s=[c("span",null,t.slice(0,-e)),c("span",null,t.slice(-e))];return et(s,t,{class:"\
middle","aria-label":t})}var I=(t,e,...s)=>c("section",{class:"card"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"\
note"},e)),s),Rt=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(s=>c("li",null,s))),gs=700;function z(t,e,s=16,n=gs){if(t<
n)return{widths:e.map(()=>t),style:"grid-template-columns:minmax(0,1fr)"};let r=e.reduce((a,l)=>a+l,0),o=t-s*(e.length-1),
i=e.map(a=>Math.floor(o*a/r));return{widths:i,style:`grid-template-columns:${i.map(a=>`${a}px`).join(" ")}`}}function de(t,e){
let s=document.activeElement,n=s?.matches("input[type=search]")&&t.contains(s)&&e.querySelector(`#${s.id}`);if(!n)return t.
replaceChildren(...e.childNodes);let[r,o]=[t,e];for(;r!==s;){let[i,a]=[r,o].map(d=>[...d.children].find(f=>f.contains(d===
r?s:n)));if(!i||!a)return t.replaceChildren(...e.childNodes);for(let d of[...r.childNodes])d!==i&&d.remove();let l=[...o.
childNodes],h=l.indexOf(a);i.before(...l.slice(0,h)),i.after(...l.slice(h+1)),i!==s&&i.setAttribute("style",a.getAttribute(
"style")??""),[r,o]=[i,a]}}var Bt={};rt(Bt,{draw:()=>Ys,endOf:()=>V,formulaOf:()=>xt,groupLines:()=>be,nextRun:()=>ye,noAlert:()=>$t,peakOf:()=>ve,
rateOf:()=>xe,recoveryIn:()=>vt,severityOf:()=>zt,title:()=>Js,verdict:()=>bt});var it=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),ft=class t{constructor(e,s,n,r){let[o,
i]=e.shape;this.columns=o,this.n=i,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.range=e.range,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.
bytes=(s===n?5:9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().
decode(new Uint8Array(e,4,s))),r=n.shape[0]*n.shape[1],o=4+s,i=new Float32Array(e,o,r);n.pooled&&(o+=4*r);let a=n.pooled?
new Float32Array(e,o,r):i;return new t(n,i,a,new Uint8Array(e,o+4*r,r))}window({from:e=-1/0,to:s=1/0,adapter:n,max_cols:r=1/0}){
let o=Array.from(this.first.keys()).filter(p=>this.last[p]>=e&&this.first[p]<=s),i=n==null?Array.from({length:this.n},(p,g)=>g):
[n],a=Math.max(1,Math.ceil(o.length/r)),l=Array.from({length:Math.ceil(o.length/a)},(p,g)=>o.slice(g*a,(g+1)*a)),h=l.length*
i.length,d=this.pooled||a>1,f=new Float32Array(h),u=d?new Float32Array(h):f,m=new Uint8Array(h);l.forEach((p,g)=>{i.forEach(
(y,x)=>{let _=p.map(N=>N*this.n+y),O=g*i.length+x,k=N=>_.map(W=>N[W]).filter(Number.isFinite),[S,M]=[k(this.low),k(this.
high)];u[O]=S.length?Math.min(...S):this.low[_[0]],f[O]=M.length?Math.max(...M):this.high[_[0]],m[O]=_.reduce((N,W)=>N|this.
flags[W]&3,0),_.every(N=>this.flags[N]&4)&&(m[O]|=4)})});let w={shape:[l.length,i.length],first:l.map(p=>this.first[p[0]]),
last:l.map(p=>this.last[p[p.length-1]]),pooled:d,width:this.width*a,rows:o.length===this.columns?this.rows:o.length*this.
width,range:this.range,notes:this.notes};return new t(w,u,f,m)}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+
1>>1;this.first[r]<=e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.
n+s;return this.flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.
last[this.columns-1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.
first[e]-s)/(n*this.width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.
max(0,Math.min(.999999,e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],i=this.high[r],a=this.flags[r];return[
Number.isFinite(i)?o===i?n(i):`${n(o)} … ${n(i)}`:"",a&&it(a)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],
n=this.last[e];return s===n?`step ${s}`:`steps ${s}–${n}`}};function K(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(a=>a*
r).find(a=>a>=n*.999)??10*r,i=[];for(let a=Math.ceil(t/o)*o;a<=e+o*1e-9;a+=o)i.push(Number(a.toPrecision(12)));return i}
function Z(t,e,s=6){let n=o=>{let i=[];for(let a=Math.floor(t);a<=Math.ceil(e);a++)for(let l of o)Math.log10(l)+a>=t-1e-9&&
Math.log10(l)+a<=e+1e-9&&i.push(+`${l}e${a}`);return i},r=n([1]);return r.length>=3?r.filter((o,i)=>i%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:K(10**t,10**e,s/2))}var J=(t,{left:e,right:s},n,r=he)=>t.
flatMap(o=>[b("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),b("text",{x:e-6,y:n(o)+v(4),"text-anchor":"end"},r(o))]),
P=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function ws(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,i=t.filter(ys),a=t.map(g=>g.name).join(", "),l=q("chart",s,n,a,o.length?{role:"\
group"}:{});if(!i.length)return l.append(tt(s/2,n/2,e.empty??"not logged in this run")),l;let h=bs(i,e),{X:d,x0:f,x1:u,top:m,
foot:w}=h;l.append(...ks(h,e),...Ms(h,e.thresholds??[]));let p=[];for(let g of i)l.append(...Os(g,h,p));return l.append(
..._s(h,e.discarded??[])),r!=null&&r>=f&&r<=u&&l.append(b("line",{x1:d(r),x2:d(r),y1:m,y2:w,class:"cursor"})),l.append(...Ns(
h,o,e.onAlert)),As(l,i,h,e),l}var ys=({matrix:t,column:e=0,dash:s})=>t&&Array.from(t.first).some((n,r)=>Number.isFinite(
t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function bs(t,e){let{width:s,height:n,alerts:r=[]}=e,o=v(58),i=s-v(12),a=r.length?
20:10,l=n-v(22),[h,d]=e.range??[Math.min(...t.map(x=>x.matrix.first[0])),Math.max(...t.map(x=>x.matrix.last.at(-1)))],f=({
matrix:x,column:_=0})=>Array.from({length:x.columns},(O,k)=>x.high[k*x.n+_]).some(O=>O>0&&O<1/0),u=e.log&&t.some(f),m=u?
x=>x>0?Math.log10(x):NaN:x=>x,[w,p]=$s(xs(vs(t,m,h,d),e.thresholds,m,u),e.zero,u);return{left:o,right:i,top:a,foot:l,x0:h,
x1:d,log:u,to:m,low:w,high:p,X:x=>o+(d===h?(i-o)/2:(x-h)/(d-h)*(i-o)),Y:x=>l-(Math.max(w,Math.min(p,x))-w)/(p-w)*(l-a)}}
function vs(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:i,column:a=0}of t)for(let l=0;l<i.columns;l++){if(i.last[l]<s||i.first[l]>
n)continue;let h=e(i.low[l*i.n+a]),d=e(i.high[l*i.n+a]);h<r&&h>-1/0&&(r=h),d>o&&d<1/0&&(o=d),d<r&&d>-1/0&&(r=d)}return[r,
o]}function xs([t,e],s=[],n,r){for(let{value:o}of s){let i=n(o);r&&i>e&&i-e<1&&(e=i+.05),r&&i<t&&t-i<1&&(t=i-.05)}return[
t,e]}function $s([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(
e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-t)*.06;return[s&&t===0?t:t-r,e+r]}function ks({left:t,
right:e,top:s,foot:n,x0:r,x1:o,log:i,to:a,low:l,high:h,X:d,Y:f},{height:u,term:m}){let w=n-s,p=i?Z(l,h,Math.max(2,w/v(18))):
K(l,h,Math.max(2,w/v(32))),g=K(r,o,(e-t)/v(62)).filter(Number.isInteger),y=[ie(m??""),i&&"log"].filter(Boolean).join(", "),
x=`translate(${v(10)},${s+w/2})rotate(-90)`;return[...J(p,{left:t,right:e},_=>f(a(_))),...g.map(_=>b("text",{x:d(_),y:u-
5,"text-anchor":"middle"},_)),b("text",{class:"axis-name",x:t-8,y:u-5,"text-anchor":"end"},"step"),b("text",{class:"axis\
-name","text-anchor":"middle",transform:x},y)]}var Ms=({left:t,right:e,to:s,low:n,high:r,Y:o},i)=>i.map(({value:a,name:l})=>({
v:s(a),name:l})).filter(({v:a})=>a>=n&&a<=r).flatMap(({v:a,name:l})=>[b("line",{x1:t,x2:e,y1:o(a),y2:o(a),class:"thresho\
ld"}),b("text",{x:e-2,y:o(a)-3,"text-anchor":"end",class:"threshold"},l)]),_s=({top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([
i,a])=>({first:i,last:a,from:Math.max(s,i-.5),until:Math.min(n,a+.5)})).filter(({from:i,until:a})=>a>i).map(({first:i,last:a,
from:l,until:h})=>{let d=i<a?`steps ${i} to ${a} were discarded`:`step ${a} was discarded`,f={x:r(l),y:t,width:r(h)-r(l),
height:e-t},u=`M${r(h)} ${t+6}H${r(l)}m5 -4l-5 4l5 4`;return b("g",{class:"discarded"},b("title",null,d),b("rect",f),b("\
path",{d:u}))});function Ns({top:t,foot:e,x0:s,x1:n,X:r},o,i){let a=o.filter(l=>l.step>=s&&l.step<=n);return a.flatMap((l,h)=>{
let d=a.slice(0,h).filter(({step:g})=>g===l.step).length,f=Math.min(n,l.closed_step==null?n:l.last_step),u=L(l.severity),
m={x:r(l.step),y:7.5,width:r(f)-r(l.step),height:3,class:`held severity ${u}`},w={class:`mark severity ${u}`,"aria-label":`${l.
severity} ${l.name} at step ${l.step}`,transform:`translate(${r(l.step)+13*d},9)`,...ut(g=>{g.stopPropagation(),i?.(l)}),
onpointermove:g=>{g.stopPropagation();let y=c("b",null,`${l.severity} ${l.rule} ${l.name}`);E.show(g,y,`step ${l.step}`,
l.message)}},p=!d&&b("path",{d:`M0 6V${e-t+11}`,class:"stem"});return[...f>l.step?[b("rect",m)]:[],b("g",w,p,b("path",{d:at(
l.severity)}))]})}function As(t,e,{left:s,right:n,top:r,foot:o,x0:i,x1:a,X:l},{width:h,onStep:d,onZoom:f}){let u=b("line",
{y1:r,y2:o,class:"hover"}),m=b("rect",{y:r,height:o-r,class:"select"});t.append(u,m);let w=y=>{let x=t.getBoundingClientRect(),
_=(y.clientX-x.left)*(h/x.width);return Math.round(i+Math.max(0,Math.min(1,(_-s)/(n-s)))*(a-i))},p=null,g=y=>p&&Math.abs(
y.clientX-p.x)>5;t.addEventListener("pointerdown",y=>{f&&(p={x:y.clientX,step:w(y)})}),t.addEventListener("pointermove",
y=>{let x=w(y);p&&g(y)&&(t.hasPointerCapture(y.pointerId)||t.setPointerCapture(y.pointerId),m.setAttribute("x",Math.min(
l(x),l(p.step))),m.setAttribute("width",Math.abs(l(x)-l(p.step))),m.style.display="block"),u.setAttribute("x1",l(x)),u.setAttribute(
"x2",l(x)),u.style.display="block",E.show(y,`step ${x}`,Ss(e,x))}),t.addEventListener("pointerleave",()=>{u.style.display=
"none",E.hide()}),t.addEventListener("pointercancel",()=>{p=null,m.style.display="none"}),t.addEventListener("click",y=>{
let x=g(y)?p?.step:null,_=w(y);p=null,x==null?d?.(_):x!==_&&f(Math.min(x,_),Math.max(x,_))})}var Ss=(t,e)=>t.map(({matrix:s,
column:n=0,colour:r,name:o})=>s.first[0]>e?null:ot(r,o,s.say(s.columnOf(e),n,$)));function Os(t,{X:e,Y:s,to:n,x0:r,x1:o,
top:i,foot:a},l){let{matrix:h,column:d=0,colour:f,dash:u,thin:m}=t,w=[],p="",g=!1,y="",x="",_=[],O=[],k=[],S=()=>{_.length>
1&&k.push(`M${_.join("L")}L${O.reverse().join("L")}Z`),_.length=O.length=0};for(let M=0;M<h.columns;M++){let N=(h.first[M]+
h.last[M])/2;if(h.last[M]<r||h.first[M]>o)continue;let W=M*h.n+d,U=e(N).toFixed(1);!u&&h.flags[W]&3&&(w.at(-1)?.column===
M-1?Object.assign(w.at(-1),{column:M,to:e(N)}):w.push({column:M,from:e(N),to:e(N),kind:`${t.letter?`${t.letter}: `:""}${h.
flags[W]&1?"NaN":"Inf"}`}));let G=n(h.low[W]),Y=n(h.high[W]);if(!Number.isFinite(Y)){g=!1,x+=y,y="",S();continue}let nt=Number.
isFinite(G)?s((G+Y)/2):s(Y);p+=`${g?"L":"M"}${U} ${nt.toFixed(1)}`,g?y="":y=`M${U} ${nt.toFixed(1)}h.01`,g=!0,h.pooled&&
(_.push(`${U} ${s(Y).toFixed(1)}`),O.push(`${U} ${(Number.isFinite(G)?s(G):a).toFixed(1)}`))}return S(),[k.length&&b("pa\
th",{d:k.join(""),class:"band",style:`fill:${f};stroke:${f}`}),b("path",{d:p,class:m?"line thin":"line","stroke-dasharra\
y":u,style:`stroke:${f}`}),x+y&&b("path",{d:x+y,class:"lone",style:`stroke:${f}`}),...w.filter(({from:M,to:N})=>!l.some(
W=>W.from<=M&&N<=W.to)&&l.push({from:M,to:N})).map(({from:M,to:N,kind:W})=>b("g",{class:"broken"},b("rect",{x:M-1.5,width:N-
M+3,y:i,height:a-i}),b("rect",{class:"foot",x:M-1.5,width:N-M+3,y:a-6,height:6}),b("text",{x:M+3,y:a-10},W)))].filter(Boolean)}
var Es=t=>c("div",{class:"legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`--swatch:${e.colour}`}),
A(e.name)))),D=(t,e,s,n)=>I(A(t,n.term),e,(n.legend??s.length>1)&&Es(s),ws(s,n));var mt="var(--c1)",Ct="var(--c2)";function ue(t,e){let s=t.schema.config?.find_lr;if(!(s?.curve?.rate?.length>1))return null;
let n=z(e-26,[3,2],24);return I("Learning rate, found by a sweep",`${s.curve.rate.length} steps before the run`,c("div",
{class:"sweep",id:"found",style:n.style},Ws(s,n.widths[0]),c("ul",{class:"words"},(s.sentences??[]).map((r,o)=>c("li",{class:o?
null:"head"},r)))))}var pt=t=>(t??[]).map(Number),Tt=(t,e,s,n)=>r=>s+(r-t)/(e-t||1)*(n-s);function Ws(t,e){let s=t.curve,
n=pt(s.rate),r=Is(n,e),o=q("chart",e,r.height,"loss and depth-scaled output ratio over the learning rate",{onpointermove:i=>Ls(
i,s,n,r),onpointerleave:()=>E.hide()});return o.append(...Fs(r),...Rs(t,r),...Cs(s,n,r),...Ts(s,n,r),...js(t,r)),o}function Is(t,e){
let s=v(330),n=v(58),r=e-v(16),o=v(14),i=s-v(38),a=v(20),l=o+(i-o-a)*.6,h=[Math.log10(t[0]),Math.log10(t.at(-1))],d=Tt(h[0],
h[1],n,r);return{height:s,left:n,right:r,top:o,foot:i,gap:a,middle:l,ends:h,X:u=>d(Math.min(Math.max(Math.log10(u),h[0]),
h[1]))}}function Ls(t,e,s,{X:n}){let r=i=>Math.abs(n(i)-(t.clientX-t.currentTarget.getBoundingClientRect().left)),o=s.reduce(
(i,a,l)=>r(a)<r(s[i])?l:i,0);E.show(t,c("b",null,`learning rate ${$(s[o])}`),ot(mt,"loss",$(Number(e.loss[o]))),ot(Ct,"d\
epth-scaled output ratio",$(Number(e.output_ratio[o]))))}var X=(t,e,s,n={})=>b("text",{x:t,y:e,...n},s),Fs=({height:t,left:e,
right:s,foot:n,ends:r,X:o})=>[...Z(r[0],r[1],(s-e)/v(70)).map(i=>X(o(i),n+v(15),$(i),{"text-anchor":"middle"})),X((e+s)/
2,t-6,"learning rate",{"text-anchor":"middle",class:"axis-name"})];function Rs({low:t,high:e},{top:s,foot:n,X:r}){if(t==
null||e==null)return[];let o={x:r(t),y:s,width:Math.max(r(e)-r(t),1),height:n-s};return[b("rect",{class:"plateau",...o,style:"\
fill:var(--ok)"})]}function fe(t,e,{X:s},n,r){let i=t.map((a,l)=>[e[l],a]).filter(([,a])=>Number.isFinite(a)).map(([a,l])=>`${s(
a).toFixed(1)} ${n(l).toFixed(1)}`);return i.length?[b("path",{class:"line",style:`stroke:${r}`,d:`M${i.join("L")}`})]:[]}
function Cs(t,e,s){let{left:n,top:r,middle:o,X:i}=s,a=pt(t.smoothed),l=Math.max(...a.filter(Number.isFinite)),h=pt(t.loss).
map((u,m)=>({loss:u,rate:e[m]})).filter(({loss:u})=>u<=l),d=Math.min(l,...h.map(({loss:u})=>u));if(!Number.isFinite(d))return[
X(n+6,r+v(20),"no finite loss")];let f=Tt(d,l,o,r);return[...J(K(d,l,(o-r)/v(34)),s,f),...h.map(({loss:u,rate:m})=>b("ci\
rcle",{class:"one",cx:i(m),cy:f(u),r:2.5,style:`fill:${mt}`})),...fe(a,e,s,f,mt),X(n+6,o-6,"loss, mean of five",{style:`\
fill:${mt}`})]}function Ts(t,e,s){let{left:n,right:r,foot:o,gap:i,middle:a}=s,l=pt(t.output_ratio).map(p=>p>0?Math.log10(
p):Number.NaN),h=l.filter(Number.isFinite),d=a+i;if(!h.length)return[X(n+6,d+v(14),"depth-scaled output ratio: not measu\
red")];let f=Math.min(...h,-.3),u=Math.max(...h,.3),m=Tt(f,u,o,d),w=Z(f,u,(o-d)/v(24)).filter(p=>Math.abs(Math.log10(p))>
.5);return[...J([1,...w],s,p=>m(Math.log10(p)),$),b("line",{x1:n,x2:r,y1:m(0),y2:m(0),class:"one"}),...fe(l,e,s,m,Ct),X(
n+6,d+v(14),"depth-scaled output ratio",{style:`fill:${Ct}`})]}var js=({rate:t,edge:e,edge_rule:s},{top:n,foot:r,X:o})=>[
[t,"suggestion","ok"],[e,s?`edge, ${s}`:"edge","error"]].filter(([i])=>i!=null).flatMap(([i,a,l])=>{let h=o(i);return[b(
"line",{class:"found",x1:h,x2:h,y1:n,y2:r,style:`stroke:var(--${l})`}),X(h-4,n+v(10),a,{"text-anchor":"end",class:"found",
style:`fill:var(--${l})`})]});var zs=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),gt=({rules:t},e)=>e==="ou\
tput_ratio"?t?.find(({id:s})=>s==="LW102")?.thresholds?.threshold??null:null,pe="waiting for the first step",ge="no step\
 was made",jt=t=>t===pe||t===ge,Bs={unknown:"faint","non-finite":"broken",diverged:"c4"};function lt(t,e,s){let n=t.zones?.[e?.
at(s)];if(!n)return null;let r=n.severity?L(n.severity):n.name==="healthy"?"ok":"info";return{name:n.name,head:F(n.name),
text:n.text,kind:r,colour:Bs[n.name]??r}}var ct=({loss:t,loss_start:e,loss_recent:s},n)=>Number.isFinite(t?.at(n)??0)?1-
s?.at(n)/e?.at(n):Number.NaN;async function wt(t,e){let s=["output_ratio","relative_spectral_norm"].find(k=>t.runs[e].metrics.
includes(k)),{verdict:n}=await t.data.verdict(e),r=["running",null].includes(n)?pe:ge;if(!s){let k=t.runs[e].step?"the o\
utput ratio was not measured":r;return{metric:"output_ratio",points:[],depth:1,missing:k}}let o={max_cols:400},[i,{alerts:a},
l,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.spread(s,o,e),t.series("loss_recent",o,e)]),d=zs(i),f=l.first.
findIndex((k,S)=>l.flags[S*l.n]&3),u=f<0?void 0:l.first[f],m=h?.columns?[...new Set([...l.last,h.last.at(-1)])].filter(k=>k>=
h.first[0]):[],[w,p]=await Promise.all([t.spread(s,{at:m},e),t.seriesOf(["loss","loss_start","loss_recent","zone"],{at:m},
e)]),g=m.sort((k,S)=>k-S).map(k=>({step:k,gain:ct(p,k),ratio:d*w.at(k,1),zone:lt(i,p.zone,k)})).filter(({gain:k,ratio:S})=>Number.
isFinite(k)&&S>0),y=P(a),x=([k,S],{step:M})=>k<=M&&M<=S,_=g.filter(k=>!y.some(S=>x(S,k))),O=y.map(k=>g.filter(S=>x(k,S)));
return{metric:s,points:_,strays:O,depth:d,broken:u,missing:_.length?null:Ps(t.runs[e],f<0?null:l.steps(f),r)}}var Ps=({series:t,
step:e},s,n)=>e===0?n:t.includes("loss")?s?`NaN since ${s}`:"too few steps":"the loss is unknown";function me(t){let e=Math.
max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),o=t.slice(n-r,n+r+1),i=a=>o.reduce(
(l,h)=>l+a(h),0)/o.length;return{...s,gain:i(a=>a.gain),ratio:Math.exp(i(a=>Math.log(a.ratio)))}})}function yt(t,e){let{
width:s,height:n,metric:r,damage:o,step:i,onStep:a}=e,l=r==="output_ratio"?"depth-scaled output ratio":"σ₁(ΔW) / σ₁(W₀) \
× depth",h=t.map(m=>({...m,smoothed:me(m.points),strayed:(m.strays??[]).map(me)})),d=h.flatMap(({smoothed:m,strayed:w})=>[
m,...w].flat()),f=Us(d,s,n,o),u=q("picture",s,n,`${l} against improvement of the loss`);u.append(...Ds(f,l,n),...Vs(f,o)),
t.length===1&&t[0].missing&&u.append(Ks(f,t[0].missing));for(let m of h.filter(({smoothed:w})=>w.length))u.append(...Hs(
m,f),...Gs(m,f,i));return u.append(...qs(h,f)),Zs(u,h,f,l,a),u}function Us(t,e,s,n){let r=v(56),o=e-v(20),i=v(12),a=s-v(
40),l=t.map(g=>g.gain),h=t.map(g=>Math.log10(g.ratio)),d=Math.max(-1,Math.min(-.2,...l.map(g=>g*1.12))),f=Math.min(1,Math.
max(.4,...l.map(g=>g*1.15))),u=Math.max(-4,Math.min(...h.length?h:[-1])-.3),m=Math.min(5,Math.max(...h.length?h:[1],n?Math.
log10(n):-4)+.3);return{left:r,right:o,top:i,bottom:a,x0:d,x1:f,y0:u,y1:m,X:g=>r+(Math.max(d,Math.min(f,g))-d)/(f-d)*(o-
r),Y:g=>a-(Math.max(u,Math.min(m,Math.log10(g)))-u)/(m-u)*(a-i)}}function Ds({left:t,right:e,top:s,bottom:n,x0:r,x1:o,y0:i,
y1:a,X:l,Y:h},d,f){let u=e-t,m=`translate(${v(12)},${(s+n)/2})rotate(-90)`;return[b("rect",{x:t,y:s,width:u,height:n-s,class:"\
frame"}),...J(Z(i,a),{left:t,right:e},h),...K(r,o,Math.max(4,u/v(70))).map(w=>b("text",{x:l(w),y:n+v(15),"text-anchor":"\
middle"},T(w))),b("line",{x1:l(0),x2:l(0),y1:s,y2:n,class:"axis"}),b("text",{x:e,y:f-6,"text-anchor":"end",class:"axis-n\
ame"},"gain: loss below its start →"),b("text",{class:"axis-name","text-anchor":"middle",transform:m},`${d}, p90, log`)]}
function Vs({left:t,right:e,top:s,Y:n},r){return r?[b("rect",{x:t,y:s,width:e-t,height:n(r)-s,class:"damaged"}),b("text",
{x:e-v(6),y:n(r)-v(5),"text-anchor":"end",class:"damaged"},"runs up here were damaged")]:[]}var Ks=({left:t,right:e,top:s,
bottom:n},r)=>tt((t+e)/2,(s+n)/2,jt(r)?r:`no path: ${r}`);function Hs({colour:t,letter:e,points:s,smoothed:n,strayed:r},{
X:o,Y:i}){let a=u=>`${o(u.gain).toFixed(1)} ${i(u.ratio).toFixed(1)}`,l=u=>u.map((m,w)=>`${w?"L":"M"}${a(m)}`).join(""),
h=l(n),d=`stroke:${t}`,f=({zone:u},m)=>u&&m&&b("path",{d:`M${a(n[m-1])}L${a(n[m])}`,class:`trace zone ${u.kind}`,style:`\
stroke:var(--${u.colour})`});return[b("path",{class:"trace-raw",style:d,d:s.map(u=>`M${a(u)}h.01`).join("")}),...r.map(u=>b(
"path",{d:l(u),class:"trace stray",style:d},b("title",null,`steps ${u[0]?.step} to ${u.at(-1)?.step}, discarded`))),b("p\
ath",{d:h,class:"trace-halo"}),b("path",{d:h,class:"trace",style:d}),...e?[]:n.map(f).filter(Boolean)]}function Gs({colour:t,
letter:e,broken:s,smoothed:n},{X:r,Y:o,left:i,right:a},l){let h=(m,w,p,g)=>{let y=r(m.gain)>a-v(50)?"end":r(m.gain)<i+v(
50)?"start":"middle";return b("g",{class:p,style:`--c:${t}`,transform:`translate(${r(m.gain).toFixed(1)},${o(m.ratio).toFixed(
1)})`},b("circle",{r:v(w)}),g&&b("text",{y:p==="begin"?v(17):-v(w+5),"text-anchor":y},g))},d=n[n.length-1],f=s>=d.step,u=l==
null?null:n.findLast(m=>m.step<=l);return[n.length>1&&h(n[0],3.5,"begin",e?null:"start"),!e&&h(d,6,f?"end gone":"end",`s\
tep ${d.step}${f?", then NaN":""}`),u&&u!==d&&h(u,5,"now",`step ${l}`)].filter(Boolean)}function qs(t,{X:e,Y:s}){let n=[],
r=v(8);return t.flatMap(({colour:o,letter:i,smoothed:a})=>{let l=i&&a.at(-1);if(!l)return[];let h=e(l.gain),d=s(l.ratio);
for(;n.some(m=>Math.hypot(m.x-h,m.y-d)<2*r);)d+=2;n.push({x:h,y:d});let f=b("path",{class:"line",style:`stroke:${o}`,d:`\
M${h} ${s(l.ratio)}V${d}`}),u=b("g",{class:"lettered",style:`--c:${o}`,transform:`translate(${h.toFixed(1)},${d.toFixed(
1)})`},b("circle",{r}),b("text",{y:v(4),"text-anchor":"middle"},i));return d===s(l.ratio)?[u]:[f,u]})}function Zs(t,e,{X:s,
Y:n},r,o){let i=a=>{let l=t.getBoundingClientRect(),h=u=>Math.hypot(s(u.gain)-(a.clientX-l.left),n(u.ratio)-(a.clientY-l.
top)),f=e.flatMap(u=>u.smoothed.map(m=>({...m,name:u.name,far:h(m)}))).reduce((u,m)=>m.far<u.far?m:u,{far:30});return"st\
ep"in f?f:null};t.addEventListener("pointermove",a=>{let l=i(a);if(!l)return E.hide();E.show(a,e.length>1&&c("b",null,l.
name),`step ${l.step}: ${l.zone?.head.toLowerCase()??"zone not recorded"}`,`${r} ${$(l.ratio)}`,`gain ${T(l.gain)}`)}),t.
addEventListener("pointerleave",()=>E.hide()),t.addEventListener("click",a=>{let l=i(a);l&&o&&o(l.step)})}var Js="Overview",st=20;function bt(t,e,s,n){if(t)return{kind:L(t.severity),head:`${t.severity}: ${t.message}`,text:t.details||
t.causes?.[0],alert:t};if(n)return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.details||n.message};if(!e)return{
kind:"info",head:"Not recorded",text:"This run was written without its zones."};let r=["ok","info"].includes(e.kind)?{...e,
head:"No alerts"}:e;return e.name!=="unknown"||!s?r:jt(s)?{...r,head:F(s)}:{...r,text:`${e.text} Here: ${s}.`}}var vt=(t,e)=>t.
findLast(s=>s.name==="recovered"&&s.step<=e),ye=t=>t.find(e=>e.next_run)?.next_run.text,zt=t=>({failed:2,unhealthy:2,interrupted:1,
unknown:1})[t]??0;async function Ys(t){let{alerts:e,step:s,state:n}=t,r={at:s},o=t.window(600),[i,a,l,h,d,f,u,m]=await Promise.
all([wt(t,n.run),t.data.verdict(n.run,s),we(t,r),we(t,o),t.seriesOf(["loss","loss_start","loss_recent","overhead","zone"],
r),t.series("effective_lr",{max_cols:600,to:s}),t.seriesOf(["loss","loss_expected","effective_lr"],o),t.series("overhead",
{at:st})]),w=l&&en(l,s),p=w==null?null:await t.metric(i.metric,{from:w,to:w}),g=a.first==null?null:e[a.first],y=bt(g,lt(
t.schema,d.zone,s),i.missing,vt(e,s)),x=z(t.width,[43,57]),[_,O]=x.widths;return c("div",{class:"overview"},nn(t,y,V(a,t.
run)),c("div",{class:"tiles"},on(t,{...d,rates:f,first20:m},l,i)),c("div",{class:"columns",style:x.style},I(A("Where the\
 run is","path"),tn(i.points),yt([{name:n.run,colour:"var(--trace)",...i}],{width:_-26,height:v(470),metric:i.metric,damage:gt(
t.schema,i.metric),step:s,onStep:t.setStep})),Xs(t,{...u,size:h},i,O)),c("div",{class:"columns",style:x.style},I("Alerts",
e.length?`${e.length} so far`:null,an(t)),I(`Largest ${i.metric==="output_ratio"?"output ratios":"adapters"}`,p?.columns?
`${p.first[0]<p.last[0]?"highest of":"at"} ${p.steps(0)}, log scale`:null,ln(t,p))),ue(t,t.width))}function Xs(t,{loss:e,
loss_expected:s,effective_lr:n,size:r},o,i){let a=t.lastStep>0,l=P(t.alerts),h=z(i,[1,1],16,520),d={step:t.step,onStep:t.
setStep,onZoom:t.zoom,range:t.range(),discarded:l},f={...d,empty:a?"not logged in this run":o.missing,width:h.widths[0]-
26,height:v(190)},u=[{name:"loss",matrix:e,colour:"var(--c1)"},{name:"expected",matrix:s,colour:"var(--soft)",dash:"3 3",
thin:!0}],m=o.metric==="output_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c("div",{class:"stack"},
D("Loss",null,u,{...d,term:"loss",width:i-26,height:v(212),alerts:t.alerts.filter(w=>w.step>0),onAlert:w=>t.openAlert(w,
"alerts"),empty:a?"the loss is unknown in this run":o.missing}),c("div",{class:"columns",style:h.style},D(m,"over adapte\
rs",r&&a?Qs(r):[],{...f,term:o.metric,log:!0}),D("s · lr","per group",a?be(n):[],{...f,term:"effective_lr",zero:!0,log:l.
length>0})))}var Qs=t=>["max","p90","median"].map((e,s)=>({name:e,column:s,matrix:t,colour:`var(--c${[2,1,3][s]})`,thin:s!==
1}));function tn(t){let e=new Map(t.map(({zone:n})=>[n?.head??"zone not recorded",n?.colour])),s=([n,r])=>c("span",null,
c("i",{style:`--swatch:var(--${r??"trace"})`}),n.toLowerCase());return c("span",{class:"legend"},[...e].map(s))}var we=async(t,e)=>await t.
spread("output_ratio",e)??await t.spread("relative_spectral_norm",e);function en(t,e){return!t.columns||t.first[0]>e?null:
t.last[t.columnOf(e)]}var be=t=>Array.from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.isFinite(t.high[(t.columns-
1)*t.n+e])).map((e,s)=>({name:`group ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function V({verdict:t,message:e},{
wall_time:s},n=Date.now()/1e3){let r=(e??"").split(`
`)[0];if(t==="ok")return{word:"finished",kind:"ok",text:"Training came to its end."};if(t==="unhealthy")return{word:"fin\
ished unhealthy",kind:"error",text:r};if(t==="unknown")return{word:"not measured",kind:"warning",text:r};if(t==="failed")
return{word:"ended by fail_on",kind:"error",text:r};if(t==="interrupted")return{word:"interrupted",kind:"warning",text:r};
if(t!=="running")return null;let o=(n-s)/60;if(o<15)return{word:"running",kind:"info",text:"Training goes on."};let[i,a]=o<
120?[o,"min"]:o<2880?[o/60,"h"]:[o/1440,"days"];return{word:`silent for ${Math.round(i)} ${a}`,kind:"warning",text:"The \
run wrote nothing since, not even its end: killed, or very slow."}}var sn=({step:t,last_step:e,closed_step:s})=>s==null?
`since step ${t}`:e>t?`steps ${t}–${e}`:`at step ${t}`;function nn(t,{kind:e,head:s,text:n,alert:r},o){let i=ye(t.alerts),
a=j.map(l=>{let h=t.alerts.filter(d=>d.severity===l).length;return c("button",{class:`chip ${L(l)}`,disabled:!h,title:"s\
how alerts of this severity",onclick:()=>t.set({view:"alerts",level:l})},R(l,11),c("b",null,h),l.toLowerCase()+(l==="INF\
O"||h===1?"":"s"))});return c("section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"true"},e===
"ok"?"✓":R(e.toUpperCase(),30)),c("div",{class:"words"},c("h1",null,s,o&&et(o.word,o.text,{id:"ended",class:`badge ${o.
kind}`}),r&&c("small",null,sn(r))),c("p",null,n),i&&c("p",{class:"fix",id:"next-run"},c("b",null,"Next run"),i)),c("div",
{class:"chips"},a))}var xt=t=>t?.replace("alpha","α").replace("sqrt(r)","√r");function rn(t){let e=new Map;for(let n of t)
e.set(n,(e.get(n)??0)+1);let s=[...e].sort((n,r)=>r[1]-n[1]).map(([n])=>n);return s.length>1?`${$(s[0])}…`:$(s[0])}function ve(t,e,s=[]){
let n=null,r=o=>s.some(([i,a])=>i<=t.last[o]&&t.first[o]<=a);for(let o=0;o<(t?.columns??0)&&t.first[o]<=e;o++)for(let i=0;i<
t.n&&!r(o);i++){let a=t.high[o*t.n+i];Number.isFinite(a)&&(n==null||a>n)&&(n=a)}return n}var Q=(t,e,s,n,r)=>c("div",{class:"\
tile"},c("span",{class:"name"},A(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function on(t,e,s,n){
let{loss:r,rates:o,overhead:i,first20:a}=e,{schema:l,adapters:h,step:d}=t,f=ct(e,d),u=s?.at(d,1),m=i?.at(d),w=l.max_steps,
p=w?Math.min(1,d/w):null,g=h[0]?.scale_formula,y=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled ou\
tput ratio"]:["σ₁ relative to W₀ × depth",n.metric],x=["r","alpha","scale"].map(_=>rn(h.map(O=>O[_]))).join(" / ");
return[Q("Step","step",[String(d),w&&c("small",null,` / ${w}`)],p==null?null:`${T(p)} of the schedule`,p!=null&&c("i",{class:"\
progress",style:`--share:${p}`})),Q("Loss","loss",$(r?.at(d)),Number.isFinite(f)?`gain ${T(f)}, mean of five`:null),Q(...y,
$(u==null?null:n.depth*u),u==null?"not measured":`${$(u)} × depth ${$(n.depth)}`),Q("s · lr, peak","effective_lr",$(ve(
o,d,P(t.alerts))),xe(l)),Q("r / α / s","scale",h.length?x:"–",g?`s = ${xt(g)}`:"no adapters"),Q("Adapters","adapters",
String(h.length),l.config?.model_type??l.optimizer),Q("Overhead","overhead",m==null||!t.lastStep?"–":T(m,1),t.lastStep?
d>st&&a?.last?.[a.columnOf(st)]===st?`of the time; first ${st} steps: ${T(a.at(st),1)}`:"of the wall time so far":n.missing)]}
function xe({config:t,peak_lr:e}){let{rate:s,low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${$(n)} to ${$(r)})`:"";
return s!=null&&s===t?.learning_rate?`lr ${$(s)}, found by a sweep${o}`:e?.length?`lr peaks at ${$(Math.max(...e))}`:null}
var $t=({rules:t})=>t?.length?`No alert: ${t.length} rules watch this run.`:"No alert in this run.";function an(t){if(!t.
alerts.length)return c("p",{class:"none"},`✓ ${$t(t.schema)}`);let e=[...t.alerts].sort((n,r)=>j.indexOf(n.severity)-j.
indexOf(r.severity)||n.step-r.step),s=n=>c("button",{class:"row",onclick:()=>t.openAlert(n,"alerts")},R(n.severity),c("b",
null,F(n.name)),c("span",{class:"note"},`step ${n.step}`),c("span",{class:"clip"},n.message));return c("ol",{class:"aler\
t-list"},e.slice(0,6).map(n=>c("li",null,s(n))))}function ln(t,e){if(!e?.columns)return c("p",{class:"none"},"Not measur\
ed up to this step.");let s=t.adapters.map(i=>({adapter:i,value:e.high[i.index]})).filter(({value:i})=>i>0).sort((i,a)=>a.
value-i.value);if(!s.length)return c("p",{class:"none"},"Nothing is above zero at this step.");let n=Math.log10(s[0].value),
r=Math.min(n-1,Math.log10(s[s.length-1].value)),o=({adapter:i,value:a})=>c("button",{class:"row",title:i.name,onclick:()=>t.
set({view:"layer",adapter:i.name})},c("span",{class:"clip"},i.short),c("i",{style:`--share:${(Math.log10(a)-r)/(n-r)}`}),
c("b",null,$(a)));return c("ol",{class:"bars"},s.slice(0,9).map(i=>c("li",null,o(i))))}var Vt={};rt(Vt,{draw:()=>un,title:()=>dn});function Pt(t){return t.closed_step==null?1/0:t.last_step-t.step+1}var kt=t=>`${t.rule}@${t.step}`,Ut=(t,e)=>t.closed_step==
null?e?"to the end":"still open":`${Pt(t)} step${t.last_step>t.step?"s":""}`;async function ke(t,e,s,n){let r=e.adapters?.[0]&&
t.adapters.find(({name:o})=>o===e.adapters[0].name);return c("section",{class:`card detail ${L(e.severity)}`,id:"detail"},
c("header",null,R(e.severity,16),c("h2",null,F(e.name)),c("span",{class:"note"},`${e.rule} · step ${e.step} · ${Ut(e,s)}`)),
c("p",{class:"message"},c("b",null,e.message.charAt(0).toUpperCase()+e.message.slice(1)),e.details&&`. ${e.details}`),$e(
"Cause",e.causes),e.next_run&&[c("h3",null,"Next run"),c("p",{class:"advice",id:"settings"},e.next_run.text)],$e("Fix",e.
remedies),await cn(t,e,r,n),c("div",{class:"actions"},c("button",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"l\
ayer")},"See the layer"),c("button",{id:"to-heatmap",disabled:!t.run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},
"See it in the heatmap")),hn(t,e))}var Me=(t,e)=>t.adapters.find(s=>s.name===e)?.short??e,$e=(t,e)=>e?.length?[c("h3",null,
t),c("ul",{class:"advice"},e.map(s=>c("li",null,String(s))))]:null;async function cn(t,e,s,n){let{metric:r}=e,o=t.run.metrics.
includes(r),i=t.window(400),a=null;return o&&s?a={name:`${r}, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...i})}:
t.run.series.includes(r)&&(a={name:r,matrix:await t.series(r,i)}),a?D(a.name,null,[{...a,colour:"var(--c1)"}],{term:r,width:n-
52,height:v(150),log:o,step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.range(),discarded:P(t.alerts),alerts:[e],thresholds:o&&
(e.threshold??0)>0?[{value:e.threshold,name:`threshold ${$(e.threshold)}${r==="output_ratio"?" of a layer":""}`}]:[]}):null}
function hn(t,e){if(!e.adapters?.length)return null;let s=({name:n,value:r,text:o})=>c("button",{class:"row",onclick:()=>t.
set({view:"layer",adapter:n,step:e.step,alert:kt(e)})},c("span",{class:"mono"},n),c("b",null,r==null?(o??"–").replace(
"nan","NaN"):$(r)));return[c("h3",null,`Adapters, worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.
slice(0,40).map(n=>c("li",null,s(n))))]}var dn="Alerts",Dt={severity:["Severity",t=>j.indexOf(t.severity)],rule:["Rule",t=>t.rule],name:["What",t=>t.name],step:[
"Step",t=>t.step],lasted:["Held",Pt],adapters:["Adapters",t=>-(t.adapters?.length??0)]};async function un(t){let{state:e,
alerts:s}=t;if(!s.length)return c("div",null,await bn(t));let n=!["running",null].includes(t.ending.verdict),r=fn(e.sort),
o=s.filter(l=>(!e.level||l.severity===e.level)&&mn(l,e.find.toLowerCase())).sort(r.compare),i=o.find(l=>kt(l)===e.alert)??
o[0],a=z(t.width,[52,48]);return c("div",null,pn(t),c("div",{class:"columns",style:`${a.style};align-items:start`},I(null,
null,c("table",{class:"grid",id:"alerts"},gn(t,r),c("tbody",null,o.map((l,h)=>wn(t,l,h,l===i,n)))),!o.length&&c("p",{class:"\
none"},"No alert fits this filter.")),i?await ke(t,i,n,a.widths[1]):c("div")))}function fn(t){let[e,s]=(t||"severity.up").
split("."),n=(Dt[e]??Dt.severity)[1],r=s==="down"?-1:1;return{by:e,sign:r,compare:(i,a)=>(n(i)<n(a)?-1:n(i)>n(a)?1:0)*r||
i.step-a.step}}function mn(t,e){let s=[t.rule,t.name,t.message,...(t.adapters??[]).map(({name:n})=>n)];return!e||s.some(
n=>n.toLowerCase().includes(e))}function pn(t){let{state:e,alerts:s}=t,n=r=>c("button",{id:`level-${r||"all"}`,"aria-pre\
ssed":String(e.level===r),onclick:()=>t.set({level:r})},r&&R(r,11),r?`${r.toLowerCase()} ${s.filter(o=>o.severity===r).length}`:
`all ${s.length}`);return c("div",{class:"toolbar"},c("div",{class:"segment",role:"group","aria-label":"severity"},["",...j].
map(n)),c("input",{id:"find",type:"search",placeholder:"rule, text or adapter",value:e.find,"aria-label":"filter",oninput:r=>t.
set({find:r.target.value})}))}function gn(t,{by:e,sign:s}){let n=(r,o)=>c("th",{"aria-sort":r===e?s>0?"ascending":"desce\
nding":null},A(o),c("button",{id:`sort-${r}`,class:"sort","aria-label":`sort by ${o}`,onclick:()=>t.set({sort:`${r}.${r===
e&&s>0?"down":"up"}`})},r===e?s>0?"↑":"↓":"↕"));return c("thead",null,c("tr",null,Object.entries(Dt).map(([r,[o]])=>n(
r,o))))}function wn(t,e,s,n,r){let{severity:o,rule:i,name:a,step:l,adapters:h}=e;return c("tr",{class:n?"chosen":null,"d\
ata-alert":kt(e),onclick:()=>t.openAlert(e),onkeydown:yn},c("td",null,c("span",{class:`tag ${L(o)}`},R(o,11),o.toLowerCase())),
c("td",{class:"mono"},i),c("td",null,c("button",{id:`alert-${s}`,class:"open","aria-current":String(n)},F(a))),c("td",{class:"\
number"},l),c("td",null,Ut(e,r)),c("td",null,h?.length?[c("span",{class:"mono clip"},Me(t,h[0].name)),h.length>1&&c("sma\
ll",null,` +${h.length-1}`)]:"–"))}function yn(t){let e={ArrowDown:"nextElementSibling",ArrowUp:"previousElementSiblin\
g"}[t.key];e&&(t.preventDefault(),t.currentTarget[e]?.querySelector(".open").focus())}async function bn(t){let{rules:e}=await t.
data.rules(t.state.run),s=[...new Set(e.map(({family:n})=>n))];return I(`✓ ${$t(t.schema)}`,"each opens to its page",c(
"div",{class:"rules"},s.map(n=>c("section",null,c("h3",null,n),e.filter(r=>r.family===n).map(xn)))))}var vn={means:"What\
 it means",fix:"What to do",mute:"Switching it off"},xn=t=>c("details",{class:"rule"},c("summary",null,R(t.severity,11),
c("span",{class:"mono"},t.id),c("span",null,c("b",null,F(t.name)),c("span",{class:"note"},t.summary))),c("dl",null,Object.
entries(vn).map(([e,s])=>t[e]&&[c("dt",null,s),c("dd",null,t[e])]),[c("dt",null,"All of it"),c("dd",{class:"mono"},`lora\
-watch rules ${t.id}`)]));var Kt={};rt(Kt,{draw:()=>Mn,flatten:()=>_t,settings:()=>Oe,shortNames:()=>Se,title:()=>$n});var $n="Compare",Ae="ABCDEF",Mt=Ae.length,kn=/^(learning_rate|parameters|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function Se(t){let e=t.map(s=>s.replace(/\/(runs\/)?[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_[^/]*$/,""));return new Map(t.map((s,n)=>[
s,e.indexOf(e[n])===e.lastIndexOf(e[n])?e[n]:s]))}function _t(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[
n,r]of Object.entries(t))_t(r,e?`${e}.${n}`:n,s);else s[e]=Array.isArray(t)?t.map(String).join(", "):t==null?"–":Number.
isInteger(t)?t.toLocaleString("en"):typeof t=="number"?$(t):String(t);return s}function Oe(t){let e=t.config?.find_lr,s=n=>[
...new Set(t.adapters.map(r=>r[n]))].map(r=>typeof r=="number"?$(r):String(r??"–")).join(", ")||"–";return{r:s("r"),
α:s("alpha"),s:s("scale"),"formula of s":s("scale_formula"),"peak lr":[...new Set(t.peak_lr??[])].map($).join(", ")||"–",
adapters:String(t.adapters.length),optimizer:t.optimizer??"–",..._t(e?{...t.config,find_lr:e.rate}:t.config??{}),..._t(
{versions:t.versions??{}})}}async function Mn(t){let e=Object.keys(t.runs).sort((a,l)=>a.localeCompare(l,void 0,{numeric:!0})),
s=Se(e),n=_n(t,e),r=Nn(n),o=await Promise.all(n.map(async a=>({...await Wn(t,a),label:s.get(a),...r.get(a)}))),i=z(t.width,
[2,1]);return c("div",{class:"compare"},An(t,e,s,r),c("div",{class:"columns top",style:i.style},c("div",{class:"stack"},
In(o),Ln(t,o)),On(o,i.widths[1]-26)),c("div",{class:"legend lettered"},o.map(a=>c("span",null,Ee(a),a.label))),En(t,o))}
function _n(t,e){let s=[];try{s=JSON.parse(t.state.runs||"[]").filter(r=>r in t.runs)}catch{}if(s.length)return s;let n=e.
filter(r=>r!==t.state.run).slice(0,Mt-1);return e.filter(r=>r===t.state.run||n.includes(r))}var Nn=t=>new Map(t.map((e,s)=>[
e,{letter:Ae[s],colour:`var(--c${1+s%6})`}])),Ee=({colour:t,letter:e})=>c("i",{class:"letter",style:`--c:${t}`},e);function An(t,e,s,n){
let r=t.state.among.toLowerCase(),o=[...n.keys()],i=l=>t.set({runs:JSON.stringify(n.has(l)?o.filter(h=>h!==l):[...o,l].slice(
-Mt))}),a=(l,h)=>c("button",{id:`pick-${h}`,class:"chip run","aria-pressed":String(n.has(l)),style:n.has(l)?`--c:${n.get(
l).colour}`:null,title:l,onclick:()=>i(l)},c("i",{class:"letter"},n.get(l)?.letter),s.get(l),Sn(t.runs[l]));return c("di\
v",{class:"toolbar wrap",id:"chosen"},e.length>Mt&&c("input",{id:"among",type:"search",placeholder:`find one of ${e.length}\
 runs`,"aria-label":"find a run",value:t.state.among,oninput:l=>t.set({among:l.target.value})}),e.map((l,h)=>(n.has(l)||
l.toLowerCase().includes(r))&&a(l,h)),c("span",{class:"note"},`up to ${Mt} runs`))}function Sn(t){let e=V(t,t);return e&&
c("span",{class:`badge ${e.kind}`},e.word)}function On(t,e){let s=t.filter(({path:o})=>o.missing),n=t.find(({path:o})=>!o.
missing)?.path.metric,r=t.map(({label:o,letter:i,colour:a,path:l})=>({name:o,letter:i,colour:a,...l}));return I(A("Where\
 the runs went","path"),null,s.length>0&&c("p",{class:"note"},`Without a path: ${s.map(({letter:o,path:i})=>`${o} (${i.missing}\
)`).join(", ")}.`),s.length<t.length&&yt(r,{width:e,height:v(460),metric:n,damage:gt(t[0].schema,n)}))}function En(t,e){
let s=z(t.width,[1,1,1]),n={log:!0},r={legend:!1,width:s.widths[0]-26,height:v(170),range:t.range(Math.max(...e.map(({name:i})=>t.
runs[i].step))),step:t.state.step===""?null:t.step,onStep:t.setStep,onZoom:t.zoom},o=(i,a,l,h,d,f)=>D(i,a,e.map(u=>({name:u.
label,letter:u.letter,matrix:u[h],column:d,colour:u.colour})),{term:l,...r,...f});return c("div",{class:"columns",style:s.
style},o("Loss","mean of five steps","loss","loss_recent",0),o("Output ratio","90th percentile","output_ratio","output_r\
atio",1,n),o("‖ΔW‖, median","over adapters","delta_norm","delta_norm",2,n),o("‖ΔW‖, largest","over adapters","\
delta_norm","delta_norm",0,n),o("‖ΔW‖ / ‖W₀‖, median","over adapters","relative_norm","relative_norm",2,n),o(
"Effective rank, median","over adapters","effective_rank","effective_rank",2),o("s · lr","first group","effective_lr","\
effective_lr",0,{log:e.some(({alerts:i})=>P(i).length>0)}),o("Learning rate","first group","lr","lr",0),o("Scale s","med\
ian","scale","scale",2))}var _e=["loss_recent","effective_lr","lr"],Ne=["output_ratio","delta_norm","relative_norm","sca\
le","effective_rank"];async function Wn(t,e){let s=t.window(400),n={at:t.runs[e].step},[r,{alerts:o},i,a,l,h,d,f]=await Promise.
all([t.data.schema(e),t.data.alerts(e),t.data.verdict(e),wt(t,e),t.seriesOf(["loss","loss_start","loss_recent","zone"],n,
e),t.spread("delta_norm",n,e),Promise.all(_e.map(w=>t.series(w,s,e))),Promise.all(Ne.map(w=>t.spread(w,s,e)))]),u=[..._e,
...Ne].map((w,p)=>[w,[...d,...f][p]]),m=V(i,t.runs[e]);return Object.assign(l,{delta_norm:h}),{name:e,schema:r,alerts:o,
ending:i,path:a,end:m,last:l,settings:Oe(r),...Object.fromEntries(u)}}var We=(t,e)=>c("thead",null,c("tr",null,c("th",null,
e),t.map(s=>c("th",{title:s.name},Ee(s),s.label)))),Ie=(t,e,s,...n)=>c("div",{class:"scroll",tabindex:0,role:"region","a\
ria-label":s},c("table",{class:"grid sets",id:t,style:`min-width:${12+8*e.length}rem`},n));function In(t){let e=[...new Set(
t.flatMap(a=>Object.keys(a.settings)))].filter(a=>!kn.test(a)),s=a=>t.filter(l=>a in l.settings).map(l=>l.settings[a]),n=e.
filter(a=>new Set(s(a)).size>1),r=e.filter(a=>!n.includes(a)&&s(a).length<t.length),o=a=>c("tr",null,c("th",{scope:"row",
class:"mono"},Ft(a)),t.map(l=>c("td",null,c("div",{class:"value"},Ft(l.settings[a]??"–"))))),i=(a,l)=>Ie(a,t,"settings",
We(t,"Setting"),c("tbody",null,l.map(o)));return I("What was set differently",`${e.length-n.length-r.length} settings ar\
e the same`,n.length?i("differences",n):c("p",{class:"none"},t.length>1?"Nothing: these runs have the same settings.":"C\
hoose another run above."),r.length>0&&c("details",{class:"partly"},c("summary",null,`${r.length} settings that some of \
these runs alone have`),i("partly",r)))}function Ln(t,e){let s=[["verdict",({schema:n,alerts:r,ending:o,last:i,path:a})=>{
let l=vt(r,1/0),h=bt(r[o.first],lt(n,i.zone,1/0),a.missing,l);return[h.kind==="ok"?"✓":R(h.kind.toUpperCase(),11)," ",
h.head]}],["end",({end:n})=>n?et(n.word,n.text,{class:`badge ${n.kind}`}):"–"],["steps",({name:n,schema:r})=>`${t.runs[n].
step}${r.max_steps?` / ${r.max_steps}`:""}`],["loss, mean of five",({last:n})=>{let r=ct(n,1/0);return Number.isFinite(n.
loss?.at(1/0)??0)?[$(n.loss_recent?.at(1/0)),Number.isFinite(r)&&c("small",null,` gain ${T(r)}`)]:"NaN"}],["depth-scaled\
 output ratio",({path:n})=>n.broken>=(n.points.at(-1)?.step??0)?"NaN":$(n.points.at(-1)?.ratio)],["‖ΔW‖, largest",({
last:n})=>$(n.delta_norm?.at(1/0,0))],["‖ΔW‖, median",({last:n})=>$(n.delta_norm?.at(1/0,2))],["alerts",({alerts:n})=>n.
length?j.map(r=>[r,n.filter(o=>o.severity===r).length]).filter(([,r])=>r).map(([r,o])=>c("span",{class:"tally"},R(r,11),
o)):"none"]];return I("What came of it",null,Ie("outcomes",e,"outcomes",We(e,"Outcome"),c("tbody",null,s.map(([n,r])=>c(
"tr",null,c("th",{scope:"row"},A(n)),e.map(o=>c("td",{class:"number"},[r(o)].flat())))))))}var Jt={};rt(Jt,{COLOURS:()=>Ot,ROWS:()=>Et,draw:()=>Gn,title:()=>Hn});var Fn=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],
Rn={light:[[8,64,129],[49,130,189],[158,202,225],[244,244,242],[253,190,133],[230,97,1],[140,45,4]],dark:[[120,200,255],
[66,146,198],[38,84,124],[40,44,52],[140,71,22],[235,120,30],[255,205,120]]};function Cn(t){let e=new Uint32Array(256);for(let s=0;s<
256;s++){let n=s/255*(t.length-1),r=Math.min(t.length-2,Math.floor(n)),o=n-r,[i,a,l]=[0,1,2].map(h=>Math.round(t[r][h]+(t[r+
1][h]-t[r][h])*o));e[s]=(255<<24|l<<16|a<<8|i)>>>0}return e}var Tn=t=>`linear-gradient(90deg,${t.map(e=>`rgb(${e})`).join(
",")})`,Le=(t,e)=>t==="diverging"?Rn[e?"dark":"light"]:Fn,Fe=(t,e)=>Cn(Le(t,e)),Re=(t,e)=>Tn(Le(t,e));var Ce="#ff00a8";function ze(t,e,s,n,r,o,i){let{columns:a,n:l}=s,h=Fe(n.scale,e.dark),d=t.width,f=new ImageData(d,l),u=new Uint32Array(
f.data.buffer),m=Array.from({length:a+1},(k,S)=>Math.round(s.place(S)*d));r.forEach(({adapter:k},S)=>{for(let M=0;M<a;M++){
let N=n.cells[M*l+k.index];Number.isNaN(N)||u.fill(h[Math.max(0,Math.min(255,N*255|0))],S*d+m[M],S*d+m[M+1])}});let w=new OffscreenCanvas(
d,l);Ht(w).putImageData(f,0,0);let p=Ht(t);p.imageSmoothingEnabled=!1,p.scale(i,i);let g=d/i,y=k=>s.place(k)*g,x=0;for(let k=1;k<=
r.length;k++)k<r.length&&r[k].y===r[k-1].y+o||(p.drawImage(w,0,x,d,k-x,0,r[x].y,g,(k-x)*o),x=k);let _=p.createPattern(je(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:k,y:S})=>{Te(s,k.index,4,(M,N)=>{
p.fillStyle=_,p.fillRect(y(M),S,y(N)-y(M),o)})});let O=p.createPattern(je(null,"#fff",8),"repeat");r.forEach(({adapter:k,
y:S})=>{Te(s,k.index,3,(M,N)=>{let W=y(N)-y(M),U=Math.round(Math.max(7,W)),G=Math.max(7,o),Y=Math.round(Math.max(0,Math.
min(g-U,(y(M)+y(N))/2-U/2))),nt=Math.round(S+o/2-G/2),oe=o<7||W<7;p.fillStyle="#fff",oe&&p.fillRect(Y-1.5,nt-1.5,U+3,G+3);
for(p.fillStyle of oe?[Ce]:[Ce,O])p.fillRect(Y,nt,U,G)})})}var Ht=t=>t.getContext("2d");function Te(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let i=o<t.columns&&t.flags[o*t.n+e]&s;i&&r<0&&(r=o),!i&&r>=0&&(n(r,o),r=-1)}}function je(t,e,s){let n=new OffscreenCanvas(
s,s),r=Ht(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}var Be=(t,e)=>s=>(s-t.first[0]+.5)/(t.stepAt(1)-t.first[0]+1)*e;function Pe(t,e,s,n){let o=b("svg",{class:"strip",width:n,
height:44}),i=Be(e,n);if(s?.columns){let a=Array.from({length:s.columns},(w,p)=>[(s.first[p]+s.last[p])/2,s.low[p],s.high[p]]).
filter(([w])=>w>=e.first[0]&&w<=e.stepAt(1)),l=a.flatMap(([,...w])=>w).filter(Number.isFinite),h=Math.min(...l),d=Math.max(
...l),f=w=>(41-(w-h)/(d-h||1)*25).toFixed(1),u="",m=!1;for(let[w,p,g]of a){if(!Number.isFinite(g)){m=!1;continue}let y=f(
(p+g)/2);u+=`${m?"L":"M"}${i(w).toFixed(1)} ${y}`,p<g&&(u+=`V${f(g)}V${f(p)}V${y}`),m=!0}o.append(b("path",{d:u,class:"l\
ine",style:"stroke:var(--soft)"}))}for(let a of t.alerts){if(a.step<e.first[0]||a.step>e.end)continue;let l=e.columnOf(a.
step),h=(e.place(l)+e.place(l+1))/2*n;o.append(b("g",{class:`mark severity ${L(a.severity)}`,transform:`translate(${Math.
max(7,h)},8)`,"aria-label":`${a.name} at step ${a.step}`,...ut(()=>t.openAlert(a)),onpointermove:d=>E.show(d,c("b",null,
F(a.name)),`step ${a.step}`,a.message),onpointerleave:()=>E.hide()},b("path",{d:"M0 6V44",class:"stem"}),b("path",{d:at(
a.severity)})))}return o}function Ue(t,e){let s=b("svg",{class:"axis",width:e,height:v(18)}),n=Be(t,e);for(let r of K(t.
first[0],t.end,e/v(70)).filter(Number.isInteger)){let o=n(r);s.append(b("text",{x:o,y:v(14),"text-anchor":o<12?"start":o>
e-14?"end":"middle"},r))}return s}function At(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function Ve(t,e){let s=({name:i})=>e.find(a=>i.endsWith(`.${a}`))??"",n=new Set(
t.map(s)).size>1,r=t.map((i,a)=>{let l=s(i),d=(l?i.name.slice(0,-l.length-1):i.name).split(/\.(?!\d+(?:\.|$))/),f=d.findIndex(
m=>m.endsWith(`.${i.layer}`));f>=0&&(d[f]=Nt(d[f]));let u=d.pop();return{adapter:i,index:a,front:d,last:u,tail:n&&l?` ${l}`:
""}}),o=new Map;for(let i of r){let a=Nt(i.last)+i.tail;o.has(a)||o.set(a,[]),o.get(a).push(i)}for(let i of o.values()){
let a=De(i,({front:d,last:f})=>[d.map(Nt),Nt(f)]),h=new Set(i.map(({adapter:d},f)=>`${d.layer} ${a[f]}`)).size===i.length?
a:De(i,({front:d,last:f})=>[d,f]);for(let[d,f]of i.entries())Object.assign(f,{type:a[d]+f.tail,full:h[d]+f.tail})}return r.
map(({adapter:i,index:a,type:l,full:h})=>({...i,index:a,type:l,short:i.layer==null?i.name:`${i.layer} · ${At(h,18)}`}))}
var Nt=t=>t.replace(/(\.\d+)+$/,"");function De(t,e){let s=t.map(e),n=new Map;for(let h of s.flatMap(([d])=>[...new Set(
d)]))n.set(h,(n.get(h)??0)+1);let r=s.map(([h])=>h.filter(d=>n.get(d)<t.length)),o=(h,d)=>[...r[h].slice(0,d),s[h][1]].join(
"."),i=h=>new Set(t.map(({adapter:d},f)=>`${d.layer} ${o(f,h)}`)).size,a=i(1/0),l=0;for(;i(l)<a;)l++;return t.map((h,d)=>o(
d,l))}function Ke(t,e){let s=new Map;for(let n of t){let r=e==="type"?n.type:n.layer==null?"–":`layer ${n.layer}`;s.has(r)||
s.set(r,[]),s.get(r).push(n)}return[...s].map(([n,r])=>({name:n,adapters:r}))}function He(t){let e=new Float64Array(t.n),
s=[],n=Array.from({length:t.columns},(r,o)=>t.place(o+1)-t.place(o));for(let r=0;r<t.n;r++){s.length=0;let o=0;for(let l=0;l<
t.columns;l++){let h=l*t.n+r,d=(t.low[h]+t.high[h])/2;d>0&&d<1/0&&(s.push([d,n[l]]),o+=n[l])}s.sort((l,h)=>l[0]-h[0]);let i=o/
2,a=0;for(;a<s.length-1&&i>s[a][1];)i-=s[a++][1];e[r]=s.length?s[a][0]:NaN}return e}function Ge(t,e,s){let{columns:n,n:r,
low:o,high:i}=t,a=new Float32Array(n*r);for(let m=0;m<r;m++){let w=e==="relative"&&Math.log2(s[m])||0;for(let p=m;p<a.length;p+=
r){let g=Math.log2(i[p])-w;if(e==="absolute"||o[p]===i[p]){a[p]=g;continue}let y=Math.log2(o[p])-w;a[p]=Math.abs(y)>Math.
abs(g)?y:g}}let l=[],h=Math.max(1,Math.floor(a.length/2e4))|1;for(let m=0;m<a.length;m+=h)Number.isFinite(a[m])&&l.push(
e==="relative"?Math.abs(a[m]):a[m]);l.sort((m,w)=>m-w);let d=m=>l[Math.min(l.length-1,Math.floor(m*l.length))]??0;if(e===
"relative"){let m=d(.88),w=m<.5?.5:Math.min(3,Math.ceil(m));for(let g=0;g<a.length;g++)a[g]=a[g]/(2*w)+.5;let p=$(2**w);
return{cells:a,ends:[`÷ ${p}`,"its median",`× ${p}`],scale:"diverging"}}let f=l.at(-1)??0;for(let m of a)m>f&&m<1/0&&(f=
m);let u=Math.min(d(.01),f-1e-6);for(let m=0;m<a.length;m++)a[m]=(a[m]-u)/(f-u);return{cells:a,ends:[`≤ ${$(2**u)}`,"l\
og",$(2**f)],scale:"sequential"}}var qe=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),St=t=>v(108+6*(qe(t)-11));function Ze(t,e,s,n,r,o){
let i=jn(t,e),{rows:a,size:l,height:h}=i,d=Math.max(1,Math.min(3,devicePixelRatio||1)),f=c("canvas",{id:"heat",width:Math.
round(o*d),height:Math.round(h*d),tabindex:0,role:"application","aria-roledescription":"heatmap",style:`width:${o}px;hei\
ght:${h}px`,"aria-label":`${t.state.metric} of ${e.n} adapters at ${e.columns} columns of steps; arrow keys go from cell\
 to cell, Enter opens the adapter`});ze(f,t,e,n,a,l,d);let u=zn(t,e,i,o);return Bn(f,t,e,a,u,r,o),Un(f,t,e,a),c("div",{class:"\
plot",style:`grid-template-columns:${St(t)-4}px ${o}px`},c("span",{class:"strip-name"},"loss"),Pe(t,e,s,o),Dn(t,e,i),c("\
div",{class:"stage",style:`width:${o}px;height:${h}px`},f,u.overlay),c("span",{class:"strip-name"},"step"),Ue(e,o))}function jn(t,{
n:e}){let s=Ke(t.adapters,t.state.rows),n=Math.max(300,innerHeight-v(252)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(
1,Math.min(v(30),Math.floor((n-r*s.length)/e))),i=[],a=[],l=0;for(let h of s){let d=l;for(let f of h.adapters)i.push({adapter:f,
y:l}),l+=o;a.push({name:h.name,y:(d+l)/2,height:l-d}),l+=r}return{rows:i,labels:a,size:o,height:l-r}}function zn(t,e,{rows:s,
size:n,height:r},o){let i=y=>e.place(y)*o,a=y=>Math.max(1.5,i(y+1)-i(y)),l=b("svg",{class:"overlay",width:o,height:r}),h=e.
columnOf(t.step);t.step>=e.first[0]&&l.append(b("rect",{class:"at",x:i(h)-.5,y:0,width:a(h)+1,height:r}));let d=t.state.
adapter&&s.find(y=>y.adapter.name===t.state.adapter);d&&l.append(b("rect",{class:"at",x:.5,y:d.y-.5,width:o-1,height:n+1}));
let f=b("rect",{class:"cross",height:n+2,width:o}),u=b("rect",{class:"cross",height:r}),m=b("rect",{class:"select",y:0,height:r});
return l.append(f,u,m),{overlay:l,select:(y,x)=>{m.setAttribute("x",Math.min(y,x)),m.setAttribute("width",Math.abs(y-x)),
m.style.display="block"},point:(y,x)=>{f.setAttribute("y",y.y-1),u.setAttribute("x",i(x)),u.setAttribute("width",a(x)),f.
style.display=u.style.display="block"},leave:()=>{f.style.display=u.style.display="none"}}}function Bn(t,e,s,n,r,o,i){let a=h=>{
let d=t.getBoundingClientRect(),f=h.clientX-d.left,u=h.clientY-d.top,m=n.findLast(w=>w.y<=u);return{px:f,row:m,column:s.
columnOf(s.stepAt(f/i))}},l=null;t.addEventListener("pointermove",h=>{let{row:d,column:f,px:u}=a(h);l!=null&&Math.abs(u-
l)>4&&r.select(u,l),d&&(r.point(d,f),E.show(h,...Pn(s,f,d.adapter,o[d.adapter.index])))}),t.addEventListener("pointerlea\
ve",()=>{r.leave(),E.hide()}),t.addEventListener("pointerdown",h=>{l=a(h).px,t.setPointerCapture(h.pointerId)}),t.addEventListener(
"pointercancel",()=>{l=null}),t.addEventListener("pointerup",h=>{let{px:d,row:f,column:u}=a(h),m=l;if(l=null,m!=null&&Math.
abs(d-m)>4){let w=p=>s.columnOf(s.stepAt(p/i));e.set({from:s.first[w(Math.min(d,m))],to:s.last[w(Math.max(d,m))]})}else if(f){
let w=s.last[u];e.set({view:"layer",adapter:f.adapter.name,step:w>=e.lastStep?"":w})}})}function Pn(t,e,{name:s,index:n},r){
let o=e*t.n+n,i=t.flags[o],a=t.high[o];return[c("b",null,s),`${t.steps(e)}: ${t.say(e,n,$)||"–"}`,Number.isFinite(a)&&
r>0&&`${$(a/r)} × its median`,i&3?c("strong",null,it(i)):null]}function Un(t,e,s,n){let r=s.columnOf(e.step),o=n.find(a=>a.
adapter===e.adapter)??n[0],i=()=>{let{name:a,index:l}=o.adapter;e.say(`${a}, ${s.steps(r)}: ${s.say(r,l,$)||"not measure\
d"}`)};t.addEventListener("focus",i),document.activeElement?.id==="heat"&&i(),t.addEventListener("keydown",a=>{let l=a.shiftKey?
Math.max(1,Math.round(s.columns/20)):1,h={ArrowUp:[-1,0],ArrowDown:[1,0],ArrowLeft:[0,-l],ArrowRight:[0,l]}[a.key];if(a.
key==="Enter"&&e.set({view:"layer",adapter:o.adapter.name}),!h)return;a.preventDefault(),a.stopPropagation();let d=n[(n.
indexOf(o)+h[0]+n.length)%n.length],f=s.last[Math.max(0,Math.min(s.columns-1,r+h[1]))],u=h[1]?f>=e.lastStep?"":f:e.state.
step;e.set({adapter:d.adapter.name,step:u})})}function Dn(t,{n:e},{rows:s,labels:n,size:r,height:o}){let i=St(t),a=b("sv\
g",{class:"gutter",width:i-6,height:o}),l=r>=v(11)&&n.length<e,h=-99;for(let d of n)d.y-h<v(12)||(h=d.y,a.append(b("text",
{x:l?i-v(36):i-12,y:d.y+v(4),"text-anchor":"end",class:"group"},At(d.name,qe(t)+(l?0:4)),b("title",null,d.name))));for(let d of l?
s:[])a.append(b("text",{x:i-12,y:d.y+r/2+v(4),"text-anchor":"end",class:"item"},t.state.rows==="type"?d.adapter.layer??"":
At(d.adapter.type.replace(/_proj$/,""),5)));return a}var Vn=12;function Je(t,e){if(t.step<e.first[0])return c("p",{class:"none"},"Nothing was measured up to this step.");let s=e.
columnOf(t.step)*e.n,n=t.adapters.map(a=>({adapter:a,value:e.high[s+a.index],flags:e.flags[s+a.index]})).filter(({flags:a})=>!(a&
4)).map(a=>({...a,broken:a.flags&3})),r=n.filter(({broken:a})=>!a).sort((a,l)=>a.value-l.value);if(!n.some(({broken:a,value:l})=>a||
l!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not measured at this step.");let o=r[r.
length>>1]?.value,i=({broken:a,value:l})=>a?1/0:Math.abs(Math.log2(l/o));return c("ol",{class:"standout"},n.sort((a,l)=>i(
l)-i(a)||l.value-a.value).slice(0,Vn).map(({adapter:a,value:l,broken:h})=>c("li",null,c("button",{class:"row",title:a.name,
onclick:()=>t.set({view:"layer",adapter:a.name})},c("span",{class:"clip"},a.short),c("b",null,h?it(h):$(l)),c("small",{class:h?
"broken":null},h?"":Kn(l/o))))))}var Kn=t=>t<1?`÷ ${$(1/t)}`:`× ${$(t)}`;var Hn="Heatmap",Ot={absolute:"value",relative:"relative to its own median"},Et={type:"by module",depth:"by depth"},qt=()=>v(
268);async function Gn(t){let{state:e,adapters:s}=t,n=qn(t);if(!s.length||!e.metric)return c("p",{class:"empty-page"},"T\
his run has no adapters.");let r=t.width>3*qt(),o=t.width-(r?qt()+16:0)-28,i=o-St(t)-4,a=Math.max(50,Math.floor(i/50)*50),
l=e.from!==""||e.to!=="",h=await t.metric(e.metric,{max_cols:a}),[d,f]=await Promise.all([l?t.metric(e.metric,{max_cols:a,
from:e.from,to:e.to}):h,t.series("loss",{max_cols:2e3})]);if(t.notes=[...new Set([...t.notes,...d.notes])],!d.columns)return c(
"div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen range."));t.data.prefetched!==e.run&&
Jn(t,a),h.until=t.lastStep,d.until=Math.min(t.lastStep,e.to===""?1/0:Number(e.to));let u=Ye(h,"middles",()=>He(h)),m=Ye(
d,`${e.colour}`,()=>Ge(d,e.colour,u)),w=Ze(t,d,f,m,u,i);return c("div",{class:"heat"},n,c("div",{class:"columns",style:`\
grid-template-columns:minmax(0,1fr)${r?` ${qt()}px`:""}`},c("section",{class:"card"},Zn(t,d,m),w),c("section",{class:"ca\
rd side"},c("header",null,c("h2",null,A(`Stand out at ${d.steps(d.columnOf(t.step))}`,"Stand out"))),Je(t,d))))}function qn(t){
let{state:e,run:s}=t,n=(r,o)=>c("div",{class:"segment",role:"group","aria-label":r},Object.entries(o).map(([i,a])=>c("bu\
tton",{id:`${r}-${i}`,"aria-pressed":String(e[r]===i),onclick:()=>t.set({[r]:i})},a)));return c("div",{class:"toolbar"},
c("span",{class:"pick"},A("Metric",e.metric),c("select",{id:"metric","aria-label":"metric",onchange:r=>t.set({metric:r.target.
value})},s.metrics.map(r=>c("option",{value:r,selected:r===e.metric},r)))),c("span",{class:"pick"},A("Colour"),n("colour",
Ot)),c("span",{class:"pick"},A("Rows"),n("rows",Et)),c("span",{class:"note"},"drag to zoom, click for the adapter"))}function Zn(t,e,s){
return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${Re(s.scale,t.dark)}`}),c("span",null,s.
ends.map(n=>c("span",null,n)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{
class:"hatched"}),"not measured"),c("span",{class:"grow"}),c("span",{class:"note"},e.pooled?`${e.rows} steps in ${e.columns}\
 columns; extremes and NaN kept`:`${e.rows} ${e.rows===1?"step was":"steps were"} read`))}async function Jn(t,e){let{run:s}=t.
state;t.data.prefetched=s;for(let n of t.run.metrics){if(t.state.run!==s)return;await t.data.metric(s,n,{max_cols:e}).catch(
()=>{})}}var Zt=new WeakMap;function Ye(t,e,s){Zt.has(t)||Zt.set(t,new Map);let n=Zt.get(t);return n.has(e)||n.set(e,s()),
n.get(e)}var Yt={};rt(Yt,{draw:()=>Xn,figuresOf:()=>Qe,title:()=>Yn});var Yn="Layer",Xe=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"],["drift_norm","drift_norm","2 3"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",
[["output_ratio","output_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],[
"relative_spectral_norm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],
["Ranks in use","of r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius nor\
ms",[["a_norm","A"],["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","\
B"]],!0],["Product","‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Update in one step","‖ΔW now\
 − ΔW before‖",[["step_norm","step_norm"]],!0],["Updates that arrived","share of 64 numbers that changed",[["a_chan\
ged","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["base_drift","base_d\
rift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the live factor",[["sc\
ale","scale"]],!1]];async function Xn(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"empty-page"},"This ru\
n has no adapters.");let r=t.width>v(1260)?4:3,o=z(t.width,Array(r).fill(1)),i=o.widths[0],a=new Set(Xe.flatMap(([,,g])=>g.
map(([y])=>y))),l=[...Xe,...s.metrics.filter(g=>!a.has(g)).map(g=>[F(g),null,[[g,g]],!0])].map(([g,y,x,_])=>({name:g,note:y,
log:_,several:x.length>1,metrics:x.filter(([O])=>s.metrics.includes(O))})).filter(({metrics:g})=>g.length),h=l.flatMap(({
metrics:g})=>g.map(([y])=>y)),d={max_cols:400,adapter:e.index,from:n.from,to:n.to},f={...d,from:n.from||1},u=Object.fromEntries(
await Promise.all(h.map(async g=>[g,await t.metric(g,g==="effective_lr"?f:d)]))),m=await t.data.spectrum(n.run,e.index,t.
state.step===""?null:t.step).catch(()=>({})),w=t.alerts.filter(g=>g.adapters?.some(({name:y})=>y===e.name)),p=Qe(m.sigma)??
{effective:Number.NaN,stable:Number.NaN,share:Number.NaN};return c("div",{class:"layer"},Qn(t,w),c("div",{class:"columns",
style:o.style},tr(t,p,m,i),l.map(({name:g,note:y,metrics:x,log:_,several:O})=>{let k=x.map(([M,N,W],U)=>({name:N,matrix:u[M],
colour:W?"var(--soft)":`var(--c${U+1})`,dash:W})),S=k.length>1||O;return D(g,y,k,{legend:S,term:x[0][0],width:i-26,height:v(
150)+(S?0:v(21)),log:_||x[0][0]==="effective_lr"&&P(t.alerts).length>0,range:t.range(),step:t.step,onStep:t.setStep,onZoom:t.
zoom,discarded:P(t.alerts),alerts:w.filter(M=>x.some(([N])=>N===M.metric)),onAlert:M=>t.openAlert(M,"alerts")})})))}function Qn(t,e){
let{adapter:s,adapters:n,schema:r}=t,o=r.peak_lr?.[s.group??-1],i=l=>t.set({adapter:n[(s.index+l+n.length)%n.length].name}),
a=(l,h,d)=>h!=null&&c("div",null,c("dt",null,l),c("dd",null,h,d&&c("small",null,` ${d}`)));return c("section",{class:"ca\
rd layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"adapter before (↑)",onclick:()=>i(
-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:l=>t.set({adapter:l.target.value})},n.
map(l=>c("option",{value:l.name,selected:l===s},l.name))),c("button",{id:"after",class:"quiet",title:"adapter after (↓)",
onclick:()=>i(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("span",{class:"grow"}),e.length?e.map(
l=>c("button",{class:"chip",onclick:()=>t.openAlert(l,"alerts"),title:l.message},R(l.severity,11),`${F(l.name)}, step ${l.
step}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"facts"},a(A("Kind"),s.kind),s.d_out!=
null&&a(A("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&a(A("B · A"),`${s.d_out} × ${s.r} · ${s.r} × ${s.d_in}`),a(
A("r","r"),s.r||null),a(A("α","alpha"),s.alpha==null?null:$(s.alpha)),a(A("s","scale"),s.scale==null?null:$(s.scale),xt(
s.scale_formula)),a(A("Group","group"),s.group==null?"in no optimizer group":String(s.group),o!=null?`lr ≤ ${$(o)}`:null),
a(A("Trainable"),s.trainable?.toLocaleString("en")),a(A("‖W₀‖","base_norm"),s.base_norm==null?"unknown":$(Number(s.
base_norm))),a(A("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"unknown":$(Number(s.base_spectral_norm)))))}
function Qe(t){if(!t?.length)return null;let e=t.map(o=>o??Number.NaN),s=e.reduce((o,i)=>o+i,0),n=e.reduce((o,i)=>o+i*i,
0);if(s===0)return{effective:0,stable:0,share:Number.NaN};let r=e.reduce((o,i)=>o-(i&&i/s*Math.log(i/s)),0);return{effective:Math.
exp(r),stable:n/e[0]**2,share:e[0]**2/n}}function tr({adapter:t,step:e},{effective:s,stable:n,share:r},o,i){let{step:a,sigma:l,
first_step:h,first_sigma:d}=o,f=i-26,u=m=>Number.isNaN(m)?"–":$(m);return I(A(`Spectrum at step ${a??e}`,"spectrum"),`\
σ of ΔW, r = ${t.r??"?"}`,c("div",{class:"figures"},c("div",null,c("b",null,u(s)),A("effective rank","effective_rank")),
c("div",null,c("b",null,u(n)),A("stable rank","stable_rank")),c("div",null,c("b",null,Number.isFinite(r)?T(r):"–"),"of\
 ‖ΔW‖² in σ₁")),er(l,h===a?null:d,h,f))}function er(t,e,s,n){let r=v(112),o=q("spectrum",n,r,"singular values o\
f ΔW, largest first",{id:"spectrum"}),i=[...t??[],...e??[]].filter(l=>l>0);if(!i.length)return o.append(tt(n/2,r/2,t?.length?
"ΔW is zero":"not written up to this step")),o;let a=sr(i,t.length,n,r);return o.append(...J(Z(a.low,a.high,(a.foot-a.top)/
v(18)),a,a.Y)),t.forEach((l,h)=>{let d=e?.[h]!=null&&`${$(e[h])} at step ${s}`;o.append(...rr(l,h,t.length,d,a))}),o.append(
...nr(a)),e?.some(l=>l>0)&&o.append(...or(e,s,a)),o}function sr(t,e,s,n){let r=v(58),o=v(12),i=n-v(22),a=Math.log10(Math.
max(...t))+.1,l=Math.max(a-4,Math.min(Math.log10(Math.min(...t))-.2,a-1)),h=d=>i-(Math.max(l,Math.min(a,Math.log10(d)))-
l)/(a-l)*(i-o);return{left:r,right:s,top:o,foot:i,height:n,low:l,high:a,slot:(s-r)/e,Y:h}}var nr=({left:t,top:e,foot:s,height:n})=>[
b("text",{class:"axis-name","text-anchor":"middle",transform:`translate(${v(10)},${(e+s)/2})rotate(-90)`},"σ, log"),b("\
text",{class:"axis-name",x:t-8,y:n-4,"text-anchor":"end"},"index")];function rr(t,e,s,n,{left:r,right:o,top:i,foot:a,height:l,
slot:h,Y:d}){let f=r+(e+.5)*h,u=Math.ceil(s/Math.max(1,Math.floor((o-r)/v(26))));return[b("circle",{cx:f,cy:t>0?d(t):a,r:Math.
max(1,Math.min(4,h/3)),class:"sigma"}),b("rect",{x:r+e*h,width:h,y:i,height:a-i,fill:"transparent",onpointermove:m=>E.show(
m,`σ${e+1} = ${t==null?"not finite":$(t)}`,n),onpointerleave:()=>E.hide()}),...e%u===0?[b("text",{x:f,y:l-4,"text-ancho\
r":"middle"},e+1)]:[]]}var or=(t,e,{left:s,right:n,slot:r,Y:o})=>[b("path",{class:"then",d:t.map((i,a)=>i>0?`M${s+a*r} ${o(
i)}h${r}`:"").join("")}),b("text",{x:n,y:v(9),"text-anchor":"end"},`– at step ${e}`)];var H={overview:Bt,heatmap:Jt,layer:Yt,alerts:Vt,compare:Kt};function Xt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},ar(t)),cr(t),ir(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?lr(t):"",c("butt\
on",{id:"keys",class:"quiet","aria-label":"help",title:"help (?)",onclick:()=>t.help.showModal()},"?")),e&&document.getElementById(
e)?.focus({preventScroll:!0})}function ar(t){let e=j.find(s=>t.alerts.some(n=>n.severity===s));return Object.entries(H).
map(([s,n],r)=>c("button",{id:`tab-${s}`,"aria-current":s===t.state.view&&"page",title:`key ${r+1}`,onclick:()=>t.set({view:s})},
n.title,s==="alerts"&&t.alerts.length?c("span",{class:`count ${L(e)}`},t.alerts.length):null))}var ir=t=>c("label",{class:"\
pick scrub"},"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.
setStep(Number(e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"st\
ep"},t.step)),lr=t=>c("button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-lab\
el":t.newer?null:"refresh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function cr(t){let{run:e}=t.state,s=Object.
keys(t.runs).sort((r,o)=>r.localeCompare(o,void 0,{numeric:!0})),n=({target:r})=>{let o=r.value.toLowerCase(),i=s.find(l=>l===
r.value)??s.filter(l=>l.toLowerCase().includes(o)),a=typeof i=="string"?i:i.length===1?i[0]:e;r.value=a,t.main.focus({preventScroll:!0}),
a!==e&&t.set({run:a,adapter:"",step:"",from:"",to:"",alert:""})};return c("label",{class:"pick"},"Run",c("input",{id:"ru\
n",type:"search",list:"runs",value:e,placeholder:e,title:`${e} (type to search ${s.length})`,onfocus:({target:r})=>{r.value=
""},onblur:({target:r})=>{r.value||=e},onchange:n}),c("datalist",{id:"runs"},s.map(r=>c("option",{value:r},V(t.runs[r],t.
runs[r])?.word))))}var Wt=class{prefetched;#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){
return this.#e("runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e(
"alerts",{run:e})}rules(e){return this.#e("rules",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}spectrum(e,s,n){
return this.#e("spectrum",{run:e,adapter:s,step:n})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,...n})}spread(e,s,n){
return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,...n})}async#e(e,s){
let n=Object.entries(s).filter(([,a])=>a!=null&&a!=="").map(([a,l])=>[a,String(l)]),r=`${e}?${new URLSearchParams(n)}`;if(this.#t.
has(r)){let a=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,a),a}let o=this.#r,i=this.#n(e,n);this.#t.set(r,i);try{
let a=await i;return this.#s.set(i,a.bytes??0),o===this.#r&&this.#o(),a}catch(a){throw this.#t.get(r)===i&&this.#t.delete(
r),a}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=104857600)
break;s-=e(r),this.#t.delete(n)}}};var hr=[["1 – 5","switch the view",!0],["← →","one step back or on (with Shift: a twentieth of the run)",!1],["↑ ↓",
"adapter before or after",!1],["[ ]","metric before or after",!0],["c","colour of the heatmap",!0],["g","grouping of the\
 heatmap",!0],["Enter","from the heatmap to its adapter",!1],["End","follow the latest step",!1],["drag","zoom into the \
steps of a chart",!1],["Esc","leave the zoom, close this",!1],["?","this help",!0]],dr=[["ΔW","ΔW"],["output ratio","o\
utput_ratio"],["depth-scaled output ratio","depth-scaled output ratio"],["p90","p90"],["blocks","blocks"],["‖ΔW‖","\
delta_norm"],["s","scale"],["s · lr","effective_lr"],["gain","gain"],["zone","zone"],["effective rank","effective_rank"],
["alert","alerts"]],ts="lora_watch.single_keys";function Qt(){try{return localStorage.getItem(ts)!=="off"}catch{return!0}}
function ur(t){try{localStorage.setItem(ts,t?"on":"off")}catch{}}function es(){let t=s=>c("dl",null,s.map(([n,r])=>[c("d\
t",null,n),c("dd",null,r)])),e=c("dialog",{id:"help","aria-labelledby":"help-title"},c("header",null,c("h2",{id:"help-ti\
tle"},"What it shows"),c("button",{id:"close",class:"quiet","aria-label":"close",onclick:()=>e.close()},"✕")),t(dr.map(
([s,n])=>[s,dt(n)])),c("h2",null,"Keys"),c("label",{class:"switch"},c("input",{id:"single-keys",type:"checkbox",checked:Qt(),
onchange:({target:s})=>ur(s.checked)})," keys of one letter or digit act (those with a dot)"),t(hr.map(([s,n,r])=>[s,r?`${n}\
 ·`:n])));return e.addEventListener("click",s=>s.target===e&&e.close()),e}var te="lora_watch",ht=`p.${te}.`,ee=!1;function ss(){ee=!0}function se(){if(ee)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function ns(t){let{port1:e,port2:s}=new MessageChannel;e.onmessage=({data:n})=>{
let r=JSON.parse(n);r.isReply||(r.type==="experimental.DataReloaded"&&t(),e.postMessage(JSON.stringify({type:r.type,id:r.
id,payload:null,error:null,isReply:!0})))},window.parent.postMessage("experimental.bootstrap","*",[s])}function rs(t){let e=()=>{
let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener("change",()=>t(s.matches)),t(s.matches)};if(ee)return e();
try{let s=window.parent.document.body,n=()=>t(s.classList.contains("dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,
attributeFilter:["class"]}),n()}catch{e()}}var It=()=>se().location.hash.replace(/^#/,"").split("&"),os=()=>["",te].includes(
It()[0]);function ne(){let t={};for(let e of It()){if(!e.startsWith(ht))continue;let[s,n=""]=e.slice(ht.length).split("=");
try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}return t}function as(t,e){if(!os())return;let s=It().filter((o,i)=>i>
0&&o&&!o.startsWith(ht)),n=Object.entries(t).filter(([,o])=>o!==""&&o!=null).map(([o,i])=>`${ht}${o}=${encodeURIComponent(
i)}`),{history:r}=se();try{r[e?"pushState":"replaceState"](r.state,"",`#${[te,...n,...s].join("&")}`)}catch{}}function is(t){
let e=se(),s=()=>{os()&&It().some(n=>n.startsWith(ht))&&t(ne())};e.addEventListener("hashchange",s),window.addEventListener(
"pagehide",()=>e.removeEventListener("hashchange",s))}function cs(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||t.help.open||e.target.matches?.("input[type=search], selec\
t, input[type=text]")||e.key.length===1&&!Qt()||e.target.id==="scrub"&&e.key.startsWith("Arrow"))return;let s=(i,a,l)=>i[(i.
indexOf(a)+l+i.length)%i.length],n=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,r=t.adapters.map(i=>i.name),o={ArrowLeft:()=>t.
setStep(t.step-n),ArrowRight:()=>t.setStep(t.step+n),ArrowUp:()=>t.set({adapter:s(r,t.adapter?.name,-1)}),ArrowDown:()=>t.
set({adapter:s(r,t.adapter?.name,1)}),"[":()=>t.set({metric:s(t.run.metrics,t.state.metric,-1)}),"]":()=>t.set({metric:s(
t.run.metrics,t.state.metric,1)}),c:()=>t.set({colour:s(Object.keys(Ot),t.state.colour,1)}),g:()=>t.set({rows:s(Object.keys(
Et),t.state.rows,1)}),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""}),"?":()=>t.help.showModal()}[e.key]??(e.
key in{1:0,2:0,3:0,4:0,5:0}?()=>t.set({view:Object.keys(H)[e.key-1]}):null);!o||["ArrowUp","ArrowDown"].includes(e.key)&&
["alerts","overview","compare"].includes(t.state.view)||(e.preventDefault(),o())}var re={view:"overview",run:"",metric:"",colour:"absolute",rows:"type",adapter:"",step:"",from:"",to:"",level:"",find:"",
sort:"",alert:"",runs:"",among:""},fr=["output_ratio","relative_spectral_norm","relative_norm","delta_norm"],mr=5e3;function pr(t,e,s){
let n=Object.keys(e).filter(a=>!(a in t)),r=n.length?`${n.length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&
!Object.keys(t).length)return{words:r,isHere:!0};let[o,i]=[t[s],e[s]];return o&&i&&i.step!==o.step?{words:`now at step ${i.
step}`,isHere:!0}:o&&i&&i.wall_time!==o.wall_time?{words:"more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var Lt=class{constructor(e,s,n=!0){
this.data=new Wt(s),this.live=n,this.state={...re},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),
this.help=es(),this.said=c("div",{id:"said",class:"unseen","aria-live":"polite"}),this.heading=c("h1",{class:"unseen"}),
this.bar.tabIndex=-1,e.append(this.bar,this.main,this.help,this.said),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.adapters=[],this.notes=[]}async start(){rs(n=>{this.
dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(ne()),is(n=>{this.wanted=null,
this.#s(n),this.draw()}),this.live&&ns(()=>this.refresh()),addEventListener("keydown",n=>cs(this,n));let e=innerWidth,s;
addEventListener("resize",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},
80)}),addEventListener("pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&
setInterval(()=>this.#n(),mr),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.
hidden||!innerWidth||!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);
if(e!==this.state.run)return;let n=pr(this.runs,s,this.wanted?.run??e),r=this.pressed||this.help.open||document.activeElement?.
matches("input[type=search]");if(n?.isHere&&this.#t&&!r)return this.refresh();!r&&V(this.ending,this.run)?.word!==this.endWord&&
await this.draw(),n?.words!==this.newer&&(this.newer=n?.words,Xt(this))}get#t(){let{step:e,to:s}=this.state;return s===""&&
(e===""||Number(e)>this.lastStep)}set(e){let{view:s,run:n}=this.state;return this.wanted=null,this.#s({...this.state,...e}),
this.navigated||=this.state.view!==s||this.state.run!==n,this.draw()}#s(e){this.state=Object.fromEntries(Object.entries(
re).map(([s,n])=>[s,String(e[s]??n)])),this.state.view in H||(this.state.view="overview")}async draw(){let e=++this.drawing,
{view:s,run:n}=this.state;this.loading=!0,document.body.setAttribute("aria-busy","true");let r=setTimeout(()=>{e===this.
drawing&&this.shown&&(this.shown!==s||this.shownRun!==n)&&this.#c(s)},150);try{if(this.runs=await this.data.runs(),!Object.
keys(this.runs).length)return this.#a(e,c("p",{class:"empty-page"},"No run here holds LoRA data yet. Add LoraWatchCallba\
ck() to the Trainer."));this.#r();let o=await this.#e();if(e!==this.drawing)return;await this.#o(o),Xt(this),this.#l();let i=await H[this.
state.view].draw(this);this.#a(e,i)}catch(o){this.#a(e,c("div",{class:"empty-page",role:"alert"},c("p",null,`This view c\
ould not be drawn: ${o.message}`),c("button",{id:"again",class:"quiet",onclick:()=>this.refresh()},"Try again")))}finally{
clearTimeout(r)}}#r(){if(this.wanted&&this.wanted.run in this.runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.
run in this.runs)return;this.state.run&&(this.wanted??=this.state);let e=({verdict:n,wall_time:r})=>[this.live?0:zt(n),r],
s=(n,r)=>e(n)[0]-e(r)[0]||e(n)[1]-e(r)[1];this.#s({...this.wanted?{view:this.state.view}:this.state,run:Object.keys(this.
runs).reduce((n,r)=>s(this.runs[r],this.runs[n])>0?r:n)})}async#e(){let e=this.state.run,[s,n,r]=await Promise.all([this.
data.schema(e),this.data.alerts(e),this.data.verdict(e)]);return{schema:s,found:n,ending:r}}async#o({schema:e,found:s,ending:n}){
this.schema=e,this.ending=n,this.alerts=s.alerts,this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.
adapters=await this.#h(e),this.missing=this.#i();let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=
fr.find(o=>r.includes(o))??r[0]??""),this.endWord=V(n,this.run)?.word,this.newer=void 0}#i(){let{adapter:e}=this.state;return this.
wanted?`There is no run “${this.wanted.run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.
adapters.some(({name:s})=>s===e)?`This run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapte\
rs: nothing but its loss and rates is known."}#l(){this.wanted||as(Object.fromEntries(Object.entries(this.state).filter(
([e,s])=>s!==re[e])),this.navigated),this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length}\
 runs`:"";this.main.replaceChildren(c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${H[e].title.toLowerCase()}${s}\
 …`,c("progress")))}#a(e,s){if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;E.hide();
let o=Rt("notes",[this.missing??[]].flat());de(this.main,c("main",null,o,s,Rt("notes",this.notes??[]))),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${H[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#h(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n:r}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:r},(o,i)=>({name:`adapter ${i}`}))}let n=Object.keys(e.config?.lora??{}).filter(r=>r!==
"default");return Ve(s,n)}get lastStep(){return this.run.step}get step(){let e=Number(this.state.step);return this.state.
step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){return this.
adapters.find(e=>e.name===this.state.adapter)??this.#d??this.adapters[0]}get#d(){let e=this.alerts[this.ending.first??-1]?.
adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}say(e){this.said.textContent=e}metric(e,s){
return this.data.metric(this.state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.
data.spread(n,e,s):null}async series(e,s,n=this.state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,
s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(
e.map((o,i)=>[o,r[i]]))}window(e){return{max_cols:e,from:this.state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,
to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(1,e):Number(n)]}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{
let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.set({step:s>=this.lastStep?"":Math.max(0,s)})};openAlert=(e,s=this.
state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.name??this.state.adapter,
metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};var hs=128;async function ds(t){let e=Uint8Array.from(atob(t.trim()),h=>h.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(
new DecompressionStream("deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,matrices:i}=JSON.
parse(new TextDecoder().decode(new Uint8Array(n,4,r))),a=new Map,l=h=>(a.has(h)||a.set(h,yr(new Uint8Array(n,4+r+i[h].at),
i[h])),a.get(h));return async(h,d)=>{let{run:f="",metric:u,name:m,at:w,...p}=Object.fromEntries(d),g=Object.fromEntries(
Object.entries(p).map(([_,O])=>[_,Number(O)])),y=JSON.stringify([h,f,u??m??""]),x=JSON.stringify([`${h} at`,f,u??m??""]);
if(w&&x in i)return l(x);if(y in i)return l(y).window(g);if(!(y in o))throw new Error(`The report does not hold ${u??m??
h}.`);return h==="verdict"?gr(o[y],g.step??1/0):h==="spectrum"?wr(o[y],g.adapter,g.step??1/0):o[y]}}var gr=({first:t,...e},s)=>({
...e,first:t.findLast(([n])=>n<=s)?.[1]??null});function wr(t,e,s){let n=t.map(([l,h])=>[l,h[e]]).filter(([l,h])=>l<=s&&
h?.length),[r,o]=n.at(-1)??[null,null],[i,a]=n.find(([,l])=>l.some(Boolean))??[null,null];return{step:r,sigma:o,first_step:i,
first_sigma:a}}function yr(t,e){let[s,n]=e.shape,r=s*n,o=e.pooled?2:1,i=Array.from({length:o},()=>new Float32Array(r)),a=new Uint8Array(
r),l=new Int32Array(1),h=new Float32Array(l.buffer),d=(f,u)=>t[(4*f+3)*r+u]<<24|t[(4*f+2)*r+u]<<16|t[(4*f+1)*r+u]<<8|t[4*
f*r+u];for(let f=0;f<n;f++){let u=0;for(let m=0;m<s;m++){let w=f*s+m,p=m*n+f,g=t[4*o*r+w];u=u+d(0,w)|0,a[p]=g&~hs;for(let y=0;y<
o;y++)l[0]=(y?u+d(1,w):u)<<e.shift,i[y][p]=g&hs?g&2&&!(g&1)?1/0:Number.NaN:h[0]}}return new ft(e,i[0],i[o-1],a)}ss();var br=document.getElementById("answers");ds(br?.textContent??"").then(t=>new Lt(document.body,t,!1).start());
