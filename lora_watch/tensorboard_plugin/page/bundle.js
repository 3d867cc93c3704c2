/* Made by tests/front_end/check.py --fix of sources 06113a35afe0afa4733051c96deb83af8c7e99ae84cb1b6cab52e91b6c7174b4 */
var Ve=Object.defineProperty;var st=(t,e)=>{for(var s in e)Ve(t,s,{get:e[s],enumerable:!0})};var se={zone:"the rules’ word for the run at a step, from a loss below its start to exploding: it follows from the open \
alerts",output_ratio:"‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives",
"size of the adapters":"how many times a layer’s own output all adapters together add: the depth-scaled output ratio, wh\
ich is the 90th percentile of output_ratio over adapters × depth",delta_norm:"‖ΔW‖: Frobenius norm of the adapter updat\
e ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·Σlr·√(d_out·r/3): what Ad\
am reaches from the default start if every step agrees",spectral_norm:"σ₁(ΔW): the largest singular value of the adapter\
 update",relative_norm:"‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight",relative_spectral_norm:"\
σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values",effective_rank:"exp o\
f the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖ΔW‖² / σ₁²: a lower, s\
teadier count of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"‖B‖: Frobenius norm of \
the factor B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"‖∂B‖ as it reaches the o\
ptimizer, after clipping",a_changed:"share of 64 numbers of A that the last update changed; below 1 where rounding loses\
 updates",b_changed:"share of 64 numbers of B that the last update changed; below 1 where rounding loses updates",base_drift:"\
‖W − W₀‖ / ‖W₀‖ of the base weight: 0, since it is frozen",scale:"s: the live factor of B·A; α/r, with rsL\
oRA α/√r",effective_lr:"s · lr: scale × learning rate of the parameter group that holds B",lr:"learning rate of the\
 first parameter group",loss:"mean training loss of the whole optimizer step, NaN kept",reward:"mean reward of the compl\
etions",margin:"of preferences (DPO): by how much the chosen answer is preferred to the rejected one",expected:"the loss\
 that the run’s own course predicts for the step",overhead:"share of the wall time that the monitor took after the fir\
st 20 steps, which are all measured in full",adapters:"LoRA modules that are monitored",step:"optimizer steps done",r:"r\
ank: the inner size of B·A",alpha:"lora_alpha, of which the scale is made",base_norm:"‖W₀‖: Frobenius norm of the froze\
n base weight",base_spectral_norm:"σ₁(W₀): largest singular value of the frozen base weight",group:"index of the op\
timizer’s parameter group",max:"the largest of any adapter","9 in 10 below":"90th percentile over adapters: nine of te\
n are smaller",median:"median over adapters",verdict:"the alert that the rules put first, else their word for the run",end:"\
the run’s own word for its end",steps:"optimizer steps done, of those planned","loss, mean of five":"mean of the last \
five losses, and how far it is below its start","reward, mean of five":"mean of the last five rewards that were logged; \
gain: how far it is above the first ones",alerts:"episodes by severity: one cause makes one alert, which opens, lasts an\
d closes",Severity:"ERROR: the run fails or will; WARNING: something to act on; INFO: worth knowing",Rule:"its id, as in\
 lora-watch rules and in mute=",Held:"for how many steps its cause lasted",Adapters:"the adapter concerned, the worst fi\
rst, and how many more","Stand out":"the adapters that are farthest from the median of all at the step, and by which fac\
tor; broken ones first",Kind:"kind of the adapted layer","W₀":"the frozen base weight, rows × columns","B · A":"the \
factors of the adapter update, rows × columns",Trainable:"trainable numbers of the adapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Fro\
benius norms",spectral:"σ₁(ΔW) / σ₁(W₀), largest singular values",A:"of the factor A, r × columns",B:"of the f\
actor B, rows × r",path:"the run step by step: gain of the loss against the size of the adapters, in the colours of its\
 zones"},ne=t=>Object.hasOwn(se,t)?se[t]:void 0,Ge=[[/^output_ratio$/,"ratio of norms"],[/^relative_/,"relative to W₀"],
[/spectral_norm$/,"σ₁"],[/_norm$/,"Frobenius norm"],[/_rank$/,"directions"],[/_changed$|^gain$/,"share"],[/_drift$/,"\
relative change"],[/^(effective_)?lr$/,"per step"],[/^loss/,"loss"],[/^reward/,"reward"],[/^margin/,"margin"],[/^scale$/,
"s"]],re=t=>Ge.find(([e])=>e.test(t))?.[1];var Ke="http://www.w3.org/2000/svg";function ie(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var x=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>ie(document.
createElement(t),e,s),g=(t,e,...s)=>ie(document.createElementNS(Ke,t),e,s),gt=(t,e,s,n,r={})=>g("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),wt=(t,e,s)=>g("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function v(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var ae=t=>v(t,1e-4);function J(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var nt=t=>t.charAt(0).toUpperCase()+t.slice(1),qe={lr:"learning rate",b:"B",non:"non-"},T=t=>{let e=t.split(
/[-_]/).map(s=>qe[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:nt(e)},E={bubble(){let t=document.
getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.body.append(t),t},show(t,...e){
let s=this.bubble();s.replaceChildren(...e.flat().filter(i=>i!=null&&i!==!1).map(i=>i instanceof Node?i:c("div",null,i))),
s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.left=`${Math.max(4,o?t.clientX+
14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}px`},under(t,...e){let{left:s,bottom:n}=t.
getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.bubble().style.display="none"}},le=t=>({
tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.preventDefault(),e.stopPropagation(),t(
e))}}),ce=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("span",null,e),c("b",null,s)),P=["ERROR",
"WARNING","INFO"],rt="RECOVERED FROM",oe={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-4.5 0a4.5 4.5 0 1 0 \
9 0a4.5 4.5 0 1 0-9 0Z"},Wt=t=>oe[t]??oe.INFO,W=(t,e=14)=>g("svg",{class:`severity ${I(t)}`,viewBox:"-7 -7 14 14",width:e,
height:e,"aria-hidden":"true"},g("path",{d:Wt(t)})),K=(t,e)=>t[e.toLowerCase()]??0,I=t=>t===rt?"over":P.includes(t)?t.toLowerCase():
"info";function O(t,e=t){let s=ne(e);return s?ot(t,s):t}function ot(t,e,s={}){let n=({currentTarget:o})=>{E.under(o,e),o.
setAttribute("aria-describedby","tip")},r=({currentTarget:o})=>{E.hide(),o.removeAttribute("aria-describedby")};return c(
"button",{type:"button",...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},
onfocus:n,onblur:r,onpointerenter:n,onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}var L=(t,e,...s)=>c(
"section",{class:"card"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"note"},e)),s),it=(t,e)=>e.length>0&&c("ul",
{class:t},...e.map(s=>c("li",null,s))),Ze=700;function z(t,e,s=16,n=Ze){if(t<n)return{widths:e.map(()=>t),style:"grid-te\
mplate-columns:minmax(0,1fr)"};let r=e.reduce((l,a)=>l+a,0),o=t-s*(e.length-1),i=e.map(l=>Math.floor(o*l/r));return{widths:i,
style:`grid-template-columns:${i.map(l=>`${l}px`).join(" ")}`}}function yt(t,e,{hover:s,leave:n,zoom:r,choose:o}){let i=null,
l=d=>d.clientX-t.getBoundingClientRect().left,a=()=>{i=null,e.style.display="none"};t.addEventListener("pointerdown",d=>{
i=l(d)}),t.addEventListener("pointermove",d=>{let h=l(d);i!=null&&Math.abs(h-i)>4&&(t.hasPointerCapture(d.pointerId)||t.
setPointerCapture(d.pointerId),e.setAttribute("x",Math.min(h,i)),e.setAttribute("width",Math.abs(h-i)),e.style.display="\
block"),s(d,h)}),t.addEventListener("pointerleave",()=>{n(),E.hide()}),t.addEventListener("pointercancel",a),t.addEventListener(
"click",d=>{let[h,u]=[i??l(d),l(d)];a(),Math.abs(u-h)>4?r(Math.min(h,u),Math.max(h,u)):o(d,u)})}var Pt={};st(Pt,{draw:()=>Ms,endOf:()=>B,formulaOf:()=>At,peakOf:()=>Bt,rateOf:()=>$e,recoveryIn:()=>kt,severityOf:()=>Mt,
title:()=>Ns,verdict:()=>Nt});var at=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),Q=class t{constructor(e,s,n,r){let[o,
i]=e.shape;this.columns=o,this.n=i,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.bytes=(s===n?5:9)*r.length,this.
until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().decode(new Uint8Array(
e,4,s))),[r,o]=n.shape,i=r*o,l=new Uint8Array(e,4+s),a=(u,p)=>{let w=new Uint8Array(p*i);for(let m=0;m<p;m++)for(let b=0;b<
o;b++)for(let f=0;f<r;f++)w[p*(f*o+b)+m]=l[u++];return w},d=new Float32Array(a(0,4).buffer),h=n.pooled?new Float32Array(
a(4*i,4).buffer):d;return new t(n,d,h,a((n.pooled?8:4)*i,1))}window({from:e=-1/0,to:s=1/0,adapter:n}){let r=Array.from(this.
first.keys()).filter(h=>this.last[h]>=e&&this.first[h]<=s),o=n==null?Array.from({length:this.n},(h,u)=>u):[n],i=r.flatMap(
h=>o.map(u=>h*this.n+u)),l=h=>h.constructor.from(i,u=>h[u]),a=l(this.low),d={...this,shape:[r.length,o.length],first:r.map(
h=>this.first[h]),last:r.map(h=>this.last[h])};return new t(d,a,this.pooled?l(this.high):a,l(this.flags))}columnOf(e){let s=0,
n=this.columns-1;for(;s<n;){let r=s+n+1>>1;this.first[r]<=e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>
e)return;let n=this.columnOf(e),r=n*this.n+s;return this.flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){
return Math.max(this.until??0,this.last[this.columns-1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);
return e>=this.columns?1:(this.first[e]-s)/(n*this.width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.
width);return Math.floor(s+Math.max(0,Math.min(.999999,e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],i=this.
high[r],l=this.flags[r];return[Number.isFinite(i)?o===i?n(i):`${n(o)} … ${n(i)}`:"",l&&at(l)].filter(Boolean).join(", ")}steps(e){
let s=this.first[e],n=this.last[e];return s===n?`step ${s}`:`steps ${s}–${n}`}};function q(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(l=>l*
r).find(l=>l>=n*.999)??10*r,i=[];for(let l=Math.ceil(t/o);l*o<=e+o*1e-9;l++)i.push(Number((l*o).toPrecision(12)));return i}
function lt(t,e,s=6){let n=o=>{let i=[];for(let l=Math.floor(t);l<=Math.ceil(e);l++)for(let a of o)Math.log10(a)+l>=t-1e-9&&
Math.log10(a)+l<=e+1e-9&&i.push(+`${a}e${l}`);return i},r=n([1]);return r.length>=3?r.filter((o,i)=>i%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:q(10**t,10**e,s/2))}var Lt=(t,{left:e,right:s},n,r=ae)=>t.
flatMap(o=>[g("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),g("text",{x:e-6,y:n(o)+x(4),"text-anchor":"end"},r(o))]),
Y=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function bt(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,i=t.filter(Je),l=t.map(f=>f.name).join(", "),a=gt("chart",s,n,l,o.length?{role:"\
group"}:{});if(!i.length)return a.append(wt(s/2,n/2,e.empty??"not logged in this run")),a;let d=Qe(i,e),{X:h,x0:u,x1:p,top:w,
foot:m}=d;a.append(...es(d,e),...ss(d,e.thresholds??[]));let b=[];for(let f of i)a.append(...ls(f,d,b));return a.append(
...rs(d,e.discarded??[])),r!=null&&r>=u&&r<=p&&a.append(g("line",{x1:h(r),x2:h(r),y1:w,y2:m,class:"cursor"})),a.append(...os(
d,o,e.onAlert),...(e.marks??[]).flatMap(f=>ns(d,f))),is(a,i,d,e),a}var Je=({matrix:t,column:e=0,dash:s})=>t&&Array.from(
t.first).some((n,r)=>Number.isFinite(t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function Qe(t,e){let{width:s,height:n,alerts:r=[]}=e,
o=x(58),i=s-x(12),l=r.length?20:10,a=n-x(22),[d,h]=e.range,u=({matrix:_,column:A=0})=>Array.from({length:_.columns},(k,$)=>_.
high[$*_.n+A]).some(k=>k>0&&k<1/0),p=e.log&&t.some(u),w=p?_=>_>0?Math.log10(_):NaN:_=>_,[m,b]=ts(Xe(Ye(t,w,d,h),e.thresholds,
w,p),e.zero,p);return{left:o,right:i,top:l,foot:a,x0:d,x1:h,log:p,to:w,low:m,high:b,X:_=>o+(h===d?(i-o)/2:(_-d)/(h-d)*(i-
o)),Y:_=>a-(Math.max(m,Math.min(b,_))-m)/(b-m)*(a-l)}}function Ye(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:i,column:l=0}of t)
for(let a=0;a<i.columns;a++){if(i.last[a]<s||i.first[a]>n)continue;let d=e(i.low[a*i.n+l]),h=e(i.high[a*i.n+l]);d<r&&d>-1/0&&
(r=d),h>o&&h<1/0&&(o=h),h<r&&h>-1/0&&(r=h)}return[r,o]}function Xe([t,e],s=[],n,r){for(let{value:o}of s){let i=n(o);r&&i>
e&&i-e<1&&(e=i+.05),r&&i<t&&t-i<1&&(t=i-.05)}return[t,e]}function ts([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(
0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-
t)*.06;return[s&&t===0?t:t-r,e+r]}function es({left:t,right:e,top:s,foot:n,x0:r,x1:o,log:i,to:l,low:a,high:d,X:h,Y:u},p){
let{height:w,term:m,axis:b="step"}=p,f=n-s,y=i?lt(a,d,Math.max(2,f/x(18))):q(a,d,Math.max(2,f/x(32))),_=()=>q(r,o,(e-t)/
x(62)).filter(Number.isInteger),A=p.ticks??_().map(N=>[N,N]),k=re(m??""),$=`translate(${x(10)},${s+f/2})rotate(-90)`;return[
...Lt(y,{left:t,right:e},N=>u(l(N))),...A.map(([N,M])=>g("text",{x:h(N),y:w-5,"text-anchor":"middle"},M)),g("text",{class:"\
axis-name",x:t-8,y:w-5,"text-anchor":"end"},b),g("text",{class:"axis-name","text-anchor":"middle",transform:$},k)]}var ss=({
left:t,right:e,to:s,low:n,high:r,Y:o},i)=>i.map(({value:l,name:a})=>({v:s(l),name:a})).filter(({v:l})=>l>=n&&l<=r).flatMap(
({v:l,name:a})=>[g("line",{x1:t,x2:e,y1:o(l),y2:o(l),class:"threshold"}),g("text",{x:e-2,y:o(l)-3,"text-anchor":"end",class:"\
threshold"},a)]),ns=({top:t,foot:e,X:s},{at:n,name:r,kind:o})=>[g("line",{class:"found",x1:s(n),x2:s(n),y1:t,y2:e,style:`\
stroke:var(--${o})`}),g("text",{class:"found",x:s(n)-4,y:t+x(10),"text-anchor":"end",style:`fill:var(--${o})`},r)],rs=({
top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([i,l])=>({first:i,last:l,from:Math.max(s,i-.5),until:Math.min(n,l+.5)})).filter(({
from:i,until:l})=>l>i).map(({first:i,last:l,from:a,until:d})=>{let h=i<l?`steps ${i} to ${l} were discarded`:`step ${l} \
was discarded`,u={x:r(a),y:t,width:r(d)-r(a),height:e-t},p=`M${r(d)} ${t+6}H${r(a)}m5 -4l-5 4l5 4`;return g("g",{class:"\
discarded"},g("title",null,h),g("rect",u),g("path",{d:p}))});function os({top:t,foot:e,x0:s,x1:n,X:r},o,i){let l=o.filter(
a=>a.step>=s&&a.step<=n);return l.flatMap((a,d)=>{let h=l.slice(0,d).filter(({step:m})=>m===a.step).length,u=Math.min(n,
a.closed_step==null?n:a.last_step),p=I(a.severity),w={x:r(a.step),y:7.5,width:r(u)-r(a.step),height:3,class:`held severi\
ty ${p}`};return[...u>a.step?[g("rect",w)]:[],Ft(a,r(a.step)+13*h,h?0:e-t+11,()=>i?.(a))]})}var Ft=(t,e,s,n)=>g("g",{class:`\
mark severity ${I(t.severity)}`,"aria-label":`${t.severity} ${t.rule} at step ${t.step}`,transform:`translate(${e},9)`,...le(
r=>{r.stopPropagation(),n()}),onpointermove:r=>{r.stopPropagation();let o=c("b",null,`${t.severity} ${t.rule}`);E.show(r,
o,`step ${t.step}`,t.message)},onpointerleave:()=>E.hide()},s>0&&g("path",{d:`M0 6V${s}`,class:"stem"}),g("path",{d:Wt(t.
severity)}));function is(t,e,{left:s,right:n,top:r,foot:o,x0:i,x1:l,X:a},d){let{axis:h="step",say:u=String,onStep:p,onZoom:w}=d,
m=g("line",{y1:r,y2:o,class:"hover"}),b=g("rect",{y:r,height:o-r,class:"select"});t.append(m,b);let f=y=>Math.round(i+Math.
max(0,Math.min(1,(y-s)/(n-s)))*(l-i));yt(t,b,{hover:(y,_)=>{let A=f(_);m.setAttribute("x1",a(A)),m.setAttribute("x2",a(A)),
m.style.display="block",E.show(y,`${h} ${u(A)}`,as(e,A))},leave:()=>{m.style.display="none"},zoom:(y,_)=>f(y)<f(_)&&w?.(
f(y),f(_)),choose:(y,_)=>p?.(f(_))})}var as=(t,e)=>t.map(({matrix:s,column:n=0,colour:r,name:o})=>s.first[0]>e?null:ce(r,
o,s.say(s.columnOf(e),n,v)));function ls(t,{X:e,Y:s,to:n,x0:r,x1:o,top:i,foot:l},a){let{matrix:d,column:h=0,colour:u,dash:p,
thin:w}=t,m=[],b="",f=!1,y="",_="",A=[],k=[],$=[],N=()=>{A.length>1&&$.push(`M${A.join("L")}L${k.reverse().join("L")}Z`),
A.length=k.length=0};for(let M=0;M<d.columns;M++){let S=(d.first[M]+d.last[M])/2;if(d.last[M]<r||d.first[M]>o)continue;let R=M*
d.n+h,j=e(S).toFixed(1);!p&&d.flags[R]&3&&(m.at(-1)?.column===M-1?Object.assign(m.at(-1),{column:M,to:e(S)}):m.push({column:M,
from:e(S),to:e(S),kind:d.flags[R]&1?"NaN":"Inf"}));let V=n(d.low[R]),G=n(d.high[R]);if(!Number.isFinite(G)){f=!1,_+=y,y=
"",N();continue}let et=Number.isFinite(V)?s((V+G)/2):s(G);b+=`${f?"L":"M"}${j} ${et.toFixed(1)}`,f?y="":y=`M${j} ${et.toFixed(
1)}h.01`,f=!0,d.pooled&&(A.push(`${j} ${s(G).toFixed(1)}`),k.push(`${j} ${(Number.isFinite(V)?s(V):l).toFixed(1)}`))}return N(),
[$.length&&g("path",{d:$.join(""),class:"band",style:`fill:${u};stroke:${u}`}),g("path",{d:b,class:w?"line thin":"line",
"stroke-dasharray":p,style:`stroke:${u}`}),_+y&&g("path",{d:_+y,class:"lone",style:`stroke:${u}`}),...m.filter(({from:M,
to:S})=>!a.some(R=>R.from<=M&&S<=R.to)&&a.push({from:M,to:S})).map(({from:M,to:S,kind:R})=>g("g",{class:"broken"},g("rec\
t",{x:M-1.5,width:S-M+3,y:i,height:l-i}),g("rect",{class:"foot",x:M-1.5,width:S-M+3,y:l-6,height:6}),g("text",{x:M+3,y:l-
10},R)))].filter(Boolean)}var cs=t=>c("div",{class:"legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`\
--swatch:${e.colour}`}),O(e.name)))),U=(t,e,s,n)=>L(O(t,n.term),e,(n.legend??s.length>1)&&cs(s),bt(s,n));var ct=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size);function he({rules:t,config:e},s){
let{threshold:n,of_preferences:r}=t?.find(({id:o})=>o==="LW102")?.thresholds??{};return s==="output_ratio"?e?.preference&&
e.reference&&r||(n??null):null}var ue="waiting for the first step",fe="no step was made",Ct=t=>t===ue||t===fe,ds={unknown:"\
faint","non-finite":"broken",diverged:"c4"},hs={healthy:"Loss below its start","no-gain":"No clear gain"};function dt(t,e,s){
let n=t.zones?.[e?.at(s)];if(!n)return null;let r=n.severity?I(n.severity):n.name==="healthy"?"ok":"info",o=hs[n.name]??
T(n.name);return{name:n.name,head:o,text:n.text,kind:r,colour:ds[n.name]??r}}function ht({loss:t,loss_start:e,loss_recent:s},n,r=[]){
let o=s?.first[s.columnOf(n)],i=r.some(([a,d])=>a<=o&&o<=d&&d<n);return Number.isFinite(t?.at(n)??0)&&e?.at(n)>0&&!i?1-s?.
at(n)/e?.at(n):Number.NaN}var ut=t=>`${J(Math.abs(t))} ${t<0?"above":"below"} its start`,xt=["reward","reward_start","re\
ward_recent","reward_rows"];function vt({reward_start:t,reward_recent:e,reward_rows:s},n){let r=s?.at(n)<10?Number.NaN:e?.
at(n)-t?.at(n);return Number.isFinite(r)?`gain ${r<0?"−":"+"}${v(Math.abs(r))}, mean of five`:null}var X=["output_rati\
o","relative_spectral_norm"];function ft({metric:t,depth:e},{size:s},n,r){let o=n?.at(r,1);return(t===X[0]&&Number.isFinite(
o)?s?.at(r):null)??(o==null?null:e*o)}async function me(t,e){let s=X.find($=>t.runs[e].metrics.includes($)),{verdict:n}=await t.
data.verdict(e),r=["running",null].includes(n)?ue:fe;if(!s){let $=t.runs[e].step?"the output ratio was not measured":r;return{
metric:"output_ratio",points:[],depth:1,missing:$}}let o={max_cols:400},[i,{alerts:l},a,d]=await Promise.all([t.data.schema(
e),t.data.alerts(e),t.spread(s,o,e),t.series("loss_recent",o,e)]),h=ct(i),u=a.first.findIndex(($,N)=>a.flags[N*a.n]&3),p=u<
0?void 0:a.first[u],w=d?.columns?[...new Set([...a.last,d.last.at(-1)])].filter($=>$>=d.first[0]):[],[m,b]=await Promise.
all([t.spread(s,{at:w},e),t.seriesOf(["loss","loss_start","loss_recent","size","zone"],{at:w},e)]),f=Y(l),y=w.sort(($,N)=>$-
N).map($=>({step:$,gain:ht(b,$,f),ratio:ft({metric:s,depth:h},b,m,$),zone:dt(i,b.zone,$)})).filter(({gain:$,ratio:N})=>Number.
isFinite($)&&N>0),_=([$,N],{step:M})=>$<=M&&M<=N,A=y.filter($=>!f.some(N=>_(N,$))),k=f.map($=>y.filter(N=>_($,N))).filter(
({length:$})=>$);return{metric:s,points:A,strays:k,depth:h,broken:p,missing:A.length?null:us(t.runs[e],u<0?null:a.steps(
u),r,w.length)}}var us=({series:t,step:e},s,n,r)=>e===0?n:t.includes("loss")?t.includes("reward")?"the reward counts her\
e, not the loss":s?`NaN since ${s}`:r>3?"the adapters are zero":"too few steps":"the loss is unknown";function de(t){let e=Math.
max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),o=t.slice(n-r,n+r+1),i=l=>o.reduce(
(a,d)=>a+l(d),0)/o.length;return{...s,gain:i(l=>l.gain),ratio:Math.exp(i(l=>Math.log(l.ratio)))}})}function pe(t,e){let{
width:s,height:n,damage:r,step:o,onStep:i}=e,l=t.metric==="output_ratio"?"size of the adapters":"σ₁(ΔW) / σ₁(W₀) × depth",
a=de(t.points),d=(t.strays??[]).map(de),h=fs([...a,...d.flat()],s,n,r),u=gt("picture",s,n,`${l} against improvement of t\
he loss`);return u.append(...ms(h,l,n),...ps(h,r)),t.missing?u.append(gs(h,t.missing)):u.append(...ws(t.points,a,d,h),...ys(
a,t.broken,h,o)),bs(u,a,h,l,i),u}function fs(t,e,s,n){let r=x(56),o=e-x(20),i=x(12),l=s-x(40),a=t.map(y=>y.gain),d=t.map(
y=>Math.log10(y.ratio)),h=Math.max(-10,Math.min(-.2,...a.map(y=>y*1.12))),u=Math.min(1,Math.max(.4,...a.map(y=>y*1.15))),
p=Math.max(-4,Math.min(...d.length?d:[-1])),w=Math.min(5,Math.max(...d.length?d:[1],n?Math.log10(n):-4)+.3),m=p-Math.max(
.3,(w-p)/9);return{left:r,right:o,top:i,bottom:l,x0:h,x1:u,y0:m,y1:w,X:y=>r+(Math.max(h,Math.min(u,y))-h)/(u-h)*(o-r),Y:y=>l-
(Math.max(m,Math.min(w,Math.log10(y)))-m)/(w-m)*(l-i)}}function ms({left:t,right:e,top:s,bottom:n,x0:r,x1:o,y0:i,y1:l,X:a,
Y:d},h,u){let p=e-t,w=`translate(${x(12)},${(s+n)/2})rotate(-90)`;return[g("rect",{x:t,y:s,width:p,height:n-s,class:"fra\
me"}),...Lt(lt(i,l),{left:t,right:e},d),...q(r,o,Math.max(4,p/x(70))).map(m=>g("text",{x:a(m),y:n+x(15),"text-anchor":"m\
iddle"},J(m))),g("line",{x1:a(0),x2:a(0),y1:s,y2:n,class:"axis"}),g("text",{x:e,y:u-6,"text-anchor":"end",class:"axis-na\
me"},"loss (mean of five) below its start →"),g("text",{class:"axis-name","text-anchor":"middle",transform:w},`${h}, l\
ogarithmic`)]}function ps({left:t,right:e,top:s,Y:n},r){return r?[g("rect",{x:t,y:s,width:e-t,height:n(r)-s,class:"damag\
ed"}),g("text",{x:e-x(6),y:n(r)-x(5),"text-anchor":"end",class:"damaged"},"few good runs up here")]:[]}var gs=({left:t,right:e,
top:s,bottom:n},r)=>wt((t+e)/2,(s+n)/2,Ct(r)?r:`no path: ${r}`);function ws(t,e,s,{X:n,Y:r}){let o=a=>`${n(a.gain).toFixed(
1)} ${r(a.ratio).toFixed(1)}`,i=a=>a.map((d,h)=>`${h?"L":"M"}${o(d)}`).join(""),l=({zone:a},d)=>a&&d&&g("path",{d:`M${o(
e[d-1])}L${o(e[d])}`,class:`trace zone ${a.kind}`,style:`stroke:var(--${a.colour})`});return[g("path",{class:"trace-raw",
d:t.map(a=>`M${o(a)}h.01`).join("")}),...s.map(a=>g("path",{d:i(a),class:"trace stray"},g("title",null,`steps ${a[0].step}\
 to ${a.at(-1)?.step}, discarded`))),g("path",{d:i(e),class:"trace-halo"}),g("path",{d:i(e),class:"trace"}),...e.map(l).
filter(Boolean)]}function ys(t,e,{X:s,Y:n,left:r,right:o},i){let l=(u,p,w,m)=>{let b=s(u.gain)>o-x(50)?"end":s(u.gain)<r+
x(50)?"start":"middle";return g("g",{class:w,transform:`translate(${s(u.gain).toFixed(1)},${n(u.ratio).toFixed(1)})`},g(
"circle",{r:x(p)}),g("text",{y:w==="begin"?x(17):-x(p+5),"text-anchor":b},m))},a=t[t.length-1],d=e>=a.step,h=t.findLast(
u=>u.step<=i);return[t.length>1&&l(t[0],3.5,"begin",`step ${t[0].step}`),l(a,6,d?"end gone":"end",`step ${a.step}${d?", \
then NaN":""}`),h&&h!==a&&l(h,5,"now",`step ${i}`)].filter(Boolean)}function bs(t,e,{X:s,Y:n},r,o){let i=l=>{let a=t.getBoundingClientRect(),
d=u=>Math.hypot(s(u.gain)-(l.clientX-a.left),n(u.ratio)-(l.clientY-a.top)),h=e.reduce((u,p)=>u&&d(u)<=d(p)?u:p,null);return h&&
d(h)<30?h:null};t.addEventListener("pointermove",l=>{let a=i(l);if(!a)return E.hide();E.show(l,`step ${a.step}: ${a.zone?.
head.toLowerCase()??"zone not recorded"}`,`${r} ${v(a.ratio)}`,`loss (mean of five) ${ut(a.gain)}`)}),t.addEventListener(
"pointerleave",()=>E.hide()),t.addEventListener("click",l=>{let a=i(l);a&&o(a.step)})}var D=({step:t,graver_at:e=null})=>e??t?`step ${e??t}`:"before step 1",xs=t=>t.graver_at==null?"":`, first seen ${D({step:t.
step})}`,$t=t=>`${t.rule}@${t.step}`;function Tt({lasted:t,closed_step:e},s){return e==null?s?"to the end":"still open":
`${t} step${t>1?"s":""}`}async function we(t,e,s,n){let r=e.adapters?.[0]&&t.adapters.find(({name:o})=>o===e.adapters[0].
name);return c("section",{class:`card detail ${I(e.severity)}`,id:"detail"},c("header",null,W(e.severity,16),c("h2",null,
nt(e.message)),c("span",{class:"note"},`${e.rule} · ${D(e)}${xs(e)} · ${Tt(e,s)}`)),e.details&&c("p",{class:"message"},
e.details),ge("Cause",e.causes),e.next_run&&[c("h3",null,"Next run"),c("p",{class:"advice",id:"settings"},e.next_run.text)],
ge("Fix",e.remedies),await vs(t,e,r,n),c("div",{class:"actions"},c("button",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(
e,"layer")},"See the layer"),c("button",{id:"to-heatmap",disabled:!t.run.metrics.length,onclick:()=>t.openAlert(e,"heatm\
ap")},"See it in the heatmap")),_s(t,e))}var ye=(t,e)=>t.adapters.find(s=>s.name===e)?.short??e,ge=(t,e)=>e?.length?[c("\
h3",null,t),c("ul",{class:"advice"},e.map(s=>c("li",null,String(s))))]:null;async function vs(t,e,s,n){let{metric:r}=e,o=t.
run.metrics.includes(r),i=t.window(400),l=null;return o&&s?l={name:`${r}, ${s.short}`,matrix:await t.metric(r,{adapter:s.
index,...i})}:t.run.series.includes(r)&&(l={name:r,matrix:await t.series(r,i)}),l?U(l.name,null,[{...l,colour:"var(--c1)"}],
{term:r,width:n-52,height:x(150),log:o,...t.charting,alerts:[e],thresholds:o&&(e.threshold??0)>0?[{value:e.threshold,name:`\
threshold ${v(e.threshold)}${$s(e,ct(t.schema))}`}]:[]}):null}var $s=({threshold:t,metric:e},s)=>s>1&&X.includes(e)?`: ${v(
t*s)} over ${v(s)} blocks`:"";function _s(t,e){if(!e.adapters?.length)return null;let s=({name:n,value:r,text:o})=>c("bu\
tton",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,alert:$t(e)})},c("span",{class:"mono"},n),c("b",
null,r==null?(o??"–").replace("nan","NaN"):v(r)));return[c("h3",null,`Adapters, worst first (${e.adapters.length})`),c(
"ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}function be(t,e){let s=t.schema.config?.find_lr,n=mt(s?.curve?.rate),r=n.length;if(r<2)return null;let o=z(e-26,[3,2],24),
[i,l]=[Math.log10(n[0]),Math.log10(n[r-1])],a=f=>1+(r-1)*(Math.log10(f)-i)/(l-i),d={width:o.widths[0],range:[1,r],axis:"\
rate",ticks:lt(i,l,o.widths[0]/x(70)).filter(f=>a(f)>r/20).map(f=>[a(f),v(f)]),say:f=>v(n[f-1]),marks:[{rate:s.rate,name:"\
suggestion",kind:"ok"},{rate:s.edge,name:s.edge_rule?`edge, ${s.edge_rule}`:"edge",kind:"error"}].filter(({rate:f})=>f!=
null).map(f=>({...f,at:a(f.rate)}))},{loss:h,smoothed:u,output_ratio:p}=s.curve,w=Math.max(...mt(u).filter(Number.isFinite)),
m=[{name:"loss",matrix:zt(mt(h).map(f=>f>w?Number.NaN:f)),thin:!0},{name:"loss, mean of five",matrix:zt(mt(u))}].map(f=>({
...f,colour:"var(--c1)"})),b=[{name:"size of the adapters",matrix:zt(mt(p)),colour:"var(--c2)"}];return L(s.rate==null?"\
The sweep found no learning rate":"Learning rate, found by a sweep",`${r} steps before the run`,c("div",{class:"sweep",id:"\
found",style:o.style},c("div",null,bt(m,{...d,height:x(180),term:"loss, mean of five"}),bt(b,{...d,height:x(140),log:!0,
term:b[0].name,thresholds:[{value:1}]})),it("words",s.sentences??[])))}var mt=t=>(t??[]).map(e=>e==null?Number.NaN:Number(
e));function zt(t){let e=t.map((r,o)=>o+1),s=Float32Array.from(t),n={shape:[t.length,1],first:e,last:e,width:1,notes:[]};
return new Q({...n,pooled:!1},s,s,new Uint8Array(t.length))}var Ns="Overview",xe=20,jt="broke off";function Nt(t,e,s,n,r=[],o=null){if(t)return{kind:I(t.severity),head:`${t.severity}\
: ${t.message}`,text:t.details,alert:t};if(n)return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.details||n.
message,alert:n};let i=!e||["ok","info"].includes(e.kind);if(i&&(o?.kind==="warning"||o?.word===jt))return{kind:o.kind,head:T(
o.word),text:o.text};if(!e)return{kind:"info",head:"Not recorded",text:"This run was written without its zones."};let l=i?
{...e,head:ks(r)}:e;return e.name!=="unknown"||!s?l:Ct(s)?{...l,head:T(s)}:{...l,text:`${T(s)}.`}}function ks(t){let e=t.
filter(({severity:s})=>s==="INFO").length;return e<t.length?"No warning is open":e?`No warnings, ${e} info${e>1?"s":""}`:
"No alerts"}var kt=(t,e)=>t.filter(s=>s.name==="recovered"&&s.step<=e).sort((s,n)=>n.step-s.step)[0],Mt=t=>({failed:3,unhealthy:3,
interrupted:2,unknown:1})[t]??0;async function Ms(t){let{alerts:e,step:s,state:n}=t,r={at:s},o=t.window(600),[i,l,a,d,h,
u,p,w]=await Promise.all([me(t,n.run),t.data.verdict(n.run,s<t.lastStep?s:void 0),ve(t,r),ve(t,o),t.seriesOf(["loss","lo\
ss_start","loss_recent","size",...xt,"overhead","zone"],r),t.series("lr",{max_cols:600,to:s}),t.series("effective_lr",{max_cols:600,
to:s}),t.seriesOf(["loss","loss_expected","eval_loss","probe_loss","reward","effective_lr"],o)]),m=l.first==null?null:e[l.
first],b=B(l,t.run),f=Nt(m,dt(t.schema,h.zone,s),i.missing,kt(e,s),e.filter(k=>k.step<=s),b),y=z(t.width,[43,57],16,930),
[_,A]=y.widths;return c("div",{class:"overview"},Rs(t,f,b),c("div",{class:"tiles"},Fs(t,{...h,rates:u,effective:p},a,i)),
c("div",{class:"columns",style:y.style},L(O("Where the run is","path"),Ss(i.points),pe(i,{width:_-26,height:x(470),damage:he(
t.schema,i.metric),step:s,onStep:t.setStep})),As(t,{...w,size:d},i,A)),L("Alerts",null,Cs(t)),be(t,t.width))}function As(t,{
loss:e,loss_expected:s,eval_loss:n,probe_loss:r,reward:o,effective_lr:i,size:l},a,d){let h=t.lastStep>0,u=t.charting,p=z(
d,[1,1],16,520),w={...u,empty:h?"not logged in this run":a.missing,width:p.widths[0]-26,height:x(190)},m=o?[{name:_t(t.schema).
toLowerCase(),matrix:o,colour:"var(--c1)"}]:[{name:"loss",matrix:e,colour:"var(--c1)"},{name:"expected",matrix:s,colour:"\
var(--soft)",dash:"3 3",thin:!0},...n?[{name:"evaluation",matrix:n,colour:"var(--c3)"}]:[],...r?[{name:"general texts",matrix:r,
colour:"var(--c2)"}]:[]],b=a.metric==="output_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c("div",
{class:"stack"},U(o?_t(t.schema):"Loss",null,m,{...u,term:m[0].name,width:d-26,height:x(212),alerts:t.alerts.filter(f=>f.
step>0),onAlert:f=>t.openAlert(f,"alerts"),empty:h?"the loss is unknown in this run":a.missing}),c("div",{class:"columns",
style:p.style},U(b,"over adapters",l&&h?Os(l):[],{...w,term:a.metric,log:!0}),U("s · lr","per group",h?Es(i):[],{...w,term:"\
effective_lr",zero:!0,log:u.discarded.length>0})))}var Os=t=>["max","9 in 10 below","median"].map((e,s)=>({name:e,column:s,
matrix:t,colour:`var(--c${[2,1,3][s]})`,thin:s!==1}));function Ss(t){let e=new Map(t.map(({zone:n})=>[n?.head??"zone not\
 recorded",n])),s=([n,r])=>c("span",{title:r?.text},c("i",{style:`--swatch:var(--${r?.colour??"trace"})`}),n.toLowerCase());
return c("span",{class:"legend"},[...e].map(s))}var ve=async(t,e)=>await t.spread("output_ratio",e)??await t.spread("rel\
ative_spectral_norm",e),Es=t=>Array.from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.isFinite(t.high[(t.columns-
1)*t.n+e])).map((e,s)=>({name:`group ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function B(t,{wall_time:e},s=Date.
now()/1e3){let{verdict:n,message:r,first:o}=t,i=(r??"").split(`
`)[0];if(n==="ok")return{word:"finished",kind:o==null?"ok":"warning",text:i||"Training came to its end."};if(n==="unheal\
thy")return{word:"ended with an ERROR",kind:"error",text:i};if(n==="unknown")return{word:"finished, not judged",kind:"wa\
rning",text:i};if(n==="failed")return{word:"failed by fail_on",kind:"error",text:i};if(n==="interrupted")return{word:jt,
kind:"error",text:i||"It was killed, or its script ended early."};if(n!=="running")return null;let l=(s-e)/60;if(l<15)return{
word:"running",kind:"info",text:"Training goes on."};let[a,d]=l<120?[l,"min"]:l<2880?[l/60,"h"]:[l/1440,"days"];return{word:`\
silent for ${Math.round(a)} ${d}`,kind:"warning",text:"The run wrote nothing since, not even its end: killed, or very sl\
ow."}}var Is=({step:t,last_step:e,closed_step:s})=>s==null?t?`since step ${t}`:"from the start":e>t?`steps ${t}–${e}`:
`at step ${t}`;function Rs(t,{kind:e,head:s,text:n,alert:r},o){let i=t.ending.next_run?.text,l=r?.causes?.join("; "),a=!i&&
r?.remedies?.join("; "),d=P.map(h=>{let u=K(t.counts,h);return c("button",{class:`chip ${I(h)}`,disabled:!u,title:"show \
the alerts",onclick:()=>t.set({view:"alerts"})},W(h,11),c("b",null,u),h.toLowerCase()+(u===1?"":"s"))});return c("sectio\
n",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"true"},e==="ok"?"✓":W(e.toUpperCase(),30)),
c("div",{class:"words"},c("h1",null,s,o&&s!==T(o.word)&&ot(o.word,o.text,{id:"ended",class:`badge ${o.kind}`}),r&&r.name!==
"recovered"&&c("small",null,Is(r))),n&&c("p",null,n),r&&r.name!=="broke-off"&&o?.word===jt&&c("p",null,`Broke off: ${o.text}`),
l&&c("p",{id:"cause"},c("b",null,"Cause "),l),a&&c("p",{class:"fix",id:"fix"},c("b",null,"Fix"),a),i&&c("p",{class:"fix",
id:"next-run"},c("b",null,"Next run"),i),t.ending.besides&&c("p",{id:"besides"},t.ending.besides)),c("div",{class:"chips"},
d))}var _t=({config:t})=>t?.preference?"Margin":"Reward",At=t=>t?.replace("alpha","α").replace("sqrt(r)","√r");function Ws(t){
let e=new Map;for(let n of t)e.set(n,(e.get(n)??0)+1);let s=[...e].sort((n,r)=>r[1]-n[1]).map(([n])=>n);return s.length>
1?`${v(s[0])}…`:v(s[0])}var Ls=({adapters:t},e)=>t.some(s=>s.group===e)||t.every(s=>s.group==null);function Bt(t,e,s=[],n=r=>!0){
let r=null,o=i=>s.some(([l,a])=>l<=t.last[i]&&t.first[i]<=a);for(let i=0;i<(t?.columns??0)&&t.first[i]<=e;i++)for(let l=0;l<
t.n&&!o(i);l++){let a=t.high[i*t.n+l];Number.isFinite(a)&&n(l)&&(r==null||a>r)&&(r=a)}return r}var H=(t,e,s,n,r)=>c("div",
{class:"tile"},c("span",{class:"name"},O(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function Fs(t,e,s,n){
let{loss:r,reward:o,rates:i,effective:l,overhead:a}=e,{schema:d,adapters:h,step:u}=t,p=Y(t.alerts),w=Bt(i,u,p,N=>Ls(d,N)),
m=ht(e,u,p),b=ft(n,e,s,u),f=a?.at(u),y=d.max_steps,_=y?Math.min(1,u/y):null,A=h[0]?.scale_formula,k=n.metric==="output_r\
atio"?["Size of the adapters","size of the adapters"]:["σ₁ relative to W₀ × depth",n.metric],$=["r","alpha","scale"].
map(N=>Ws(h.map(M=>M[N]))).join(" / ");return[H("Step","step",[String(u),y&&c("small",null,` / ${y}`)],_==null?null:`${J(
_)} of the steps`,_!=null&&c("i",{class:"progress",style:`--share:${_}`})),o?H(_t(d),_t(d).toLowerCase(),v(o.at(u)),vt(e,
u)):H("Loss","loss",v(r?.at(u)),Number.isFinite(m)?`mean${u<5?"":" of five"} ${ut(m)}`:null),H(...k,v(b),b==null?"not me\
asured":`${v(b/n.depth)} × depth ${v(n.depth)}`),H("s · lr, peak","effective_lr",v(Bt(l,u,p)),$e(d,w)),H("r / α / s",
"scale",h.length?$:"–",A?`s = ${At(A)}`:"no adapters"),H("Adapters","adapters",String(h.length),d.config?.model_type??
d.optimizer),H("Overhead","overhead",f==null||!t.lastStep?"–":J(f,1),t.lastStep?`of the wall time ${u>xe?`since step ${xe}`:
"so far"}`:n.missing)]}function $e({config:t},e){let{rate:s,low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${v(n)} t\
o ${v(r)})`:"";return e==null?null:s==null||s!==t?.learning_rate?`lr up to ${v(e)}`:`lr up to ${v(e)},${v(s)===v(e)?"":`\
 ${v(s)}`} found by a sweep${o}`}function Cs(t){if(!t.alerts.length)return c("p",{class:"none"},"✓ No alert in this run.");
let e=s=>c("button",{class:"row",onclick:()=>t.openAlert(s,"alerts")},W(s.severity),c("b",null,s.rule),c("span",{class:"\
note"},D(s),s.severity===rt&&", recovered from"),c("span",null,s.message));return c("ol",{class:"alert-list"},t.alerts.slice(
0,6).map(s=>c("li",null,e(s))))}var Ut={};st(Ut,{draw:()=>Bs,title:()=>Ts});var Ts="Alerts",zs=["Severity","Rule","What","Step","Held","Adapters"];async function Bs(t){if(!t.alerts.length)return L(
null,null,c("p",{class:"none"},"✓ No alert in this run."));let e=!["running",null].includes(t.ending.verdict),s=t.alerts.
find(o=>$t(o)===t.state.alert)??t.alerts[0],n=z(t.width,[52,48],16,1e3),r=c("div",{class:"columns",style:`${n.style};ali\
gn-items:start`},L(null,null,c("table",{class:"grid",id:"alerts"},c("thead",null,c("tr",null,...zs.map(o=>c("th",null,O(
o))))),c("tbody",null,t.alerts.map((o,i)=>js(t,o,i,o===s,e))))),await we(t,s,e,n.widths[1]));return c("div",null,r)}function js(t,e,s,n,r){
let{severity:o,rule:i,message:l,adapters:a}=e;return c("tr",{class:n?"chosen":null,"data-alert":$t(e),onclick:()=>t.openAlert(
e)},c("td",null,c("span",{class:`tag ${I(o)}`},W(o,11),o.toLowerCase())),c("td",{class:"mono"},i),c("td",null,c("button",
{id:`alert-${s}`,class:"open","aria-current":String(n)},nt(l))),c("td",null,D(e)),c("td",null,Tt(e,r)),c("td",null,a?.length?
[c("span",{class:"mono clip"},ye(t,a[0].name)),a.length>1&&c("small",null,` +${a.length-1}`)]:"–"))}var Ht={};st(Ht,{draw:()=>Ds,title:()=>Ps});var Ps="Compare",Us=/^(learning_rate|parameters|find_lr\..*|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function _e(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[n,r]of Object.entries(t))_e(r,e?`${e}.${n}`:
n,s);else s[e]=Ne(t);return s}function Ne(t){return Array.isArray(t)?t.map(String).join(", "):typeof t=="number"&&!Number.
isInteger(t)?v(t):String(t??"–")}async function Ds(t){let e=await Promise.all(t.runNames.map(r=>qs(t,r))),s=e.some(({last:r})=>r.
reward),n=[...Vs.filter(([r])=>s||!r.startsWith("reward")),...Ks(e)];return c("div",{class:"compare"},L(`${e.length} run${e.
length===1?"":"s"}`,"with every setting that differs",c("div",{class:"scroll",tabindex:0,role:"region","aria-label":"run\
s"},c("table",{class:"grid sets",id:"runs"},c("thead",null,c("tr",null,c("th",null,"Run"),...n.map(([r])=>c("th",null,O(
r))))),c("tbody",null,e.map(r=>Hs(t,r,n)))))))}function Hs(t,e,s){let n={class:"open",onclick:()=>t.openRun(e.name,"over\
view")};return c("tr",{class:e.name===t.state.run?"chosen":null},c("th",{scope:"row"},c("button",n,e.name)),s.map(([,r])=>c(
"td",null,[r(e)].flat())))}var Vs=[["verdict",({says:t})=>[t.kind==="ok"?"✓":W(t.kind.toUpperCase(),11)," ",t.head]],[
"end",({end:t})=>t?ot(t.word,t.text,{class:`badge ${t.kind}`}):"–"],["steps",({step:t,schema:e})=>`${t}${e.max_steps?`\
 / ${e.max_steps}`:""}`],["r",({schema:t})=>Dt(t,"r")],["alpha",({schema:t})=>Dt(t,"alpha")],["scale",({schema:t})=>Dt(t,
"scale")],["lr",Gs],["loss, mean of five",({last:t})=>{if(!Number.isFinite(t.loss?.at(1/0)??0))return"NaN";let e=ht(t,1/0);
return[v(t.loss_recent?.at(1/0)),Number.isFinite(e)&&c("small",null,` ${ut(e)}`)]}],["reward, mean of five",({last:t})=>[
v(t.reward_recent?.at(1/0)),c("small",null,` ${vt(t,1/0)??""}`)]],["size of the adapters",({ratio:t})=>v(t)],["alerts",({
counts:t})=>P.map(e=>[e,K(t,e)]).filter(([,e])=>e).map(([e,s])=>c("span",{class:"tally"},W(e,11),s))]];function Gs({schema:t}){
let[e,s]=(t.rates??[]).map(n=>v(n));return[e,s!==e&&s&&c("small",null,` (${s} set)`)]}var Dt=({adapters:t},e)=>[...new Set(
t.map(s=>Ne(s[e])))].join(", ")||"–";function Ks(t){return[...new Set(t.flatMap(({settings:s})=>Object.keys(s)))].filter(
s=>!Us.test(s)).filter(s=>new Set(t.map(({settings:n})=>n[s])).size>1).map(s=>[s,({settings:n})=>n[s]??"–"])}async function qs(t,e){
let{step:s,metrics:n}=t.runs[e],r=X.find(w=>n.includes(w)),[o,{alerts:i,counts:l},a,d,h]=await Promise.all([t.data.schema(
e),t.data.alerts(e),t.data.verdict(e),t.seriesOf(["loss","loss_start","loss_recent","size",...xt,"zone"],{at:s},e),r?t.spread(
r,{at:s},e):null]),u=B(a,t.runs[e]),p=Nt(i[a.first],dt(o,d.zone,1/0),null,kt(i,1/0),i,u);return{name:e,step:s,schema:o,counts:l,
last:d,says:p,end:u,ratio:ft({metric:r,depth:ct(o)},d,h,1/0),settings:_e({...o.config,optimizer:o.optimizer,versions:o.versions??
{}})}}var Zt={};st(Zt,{draw:()=>rn,title:()=>sn});var tt=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],
ke=Uint32Array.from({length:256},(t,e)=>{let s=e/255*(tt.length-1),n=Math.min(tt.length-2,Math.floor(s)),r=s-n,[o,i,l]=[
0,1,2].map(a=>Math.round(tt[n][a]+(tt[n+1][a]-tt[n][a])*r));return(255<<24|l<<16|i<<8|o)>>>0}),Me=`linear-gradient(90deg\
,${tt.map(t=>`rgb(${t})`).join(",")})`;var Ae="#ff00a8";function Ee(t,e,s,n,r,o,i){let{columns:l,n:a}=s,d=t.width,h=new ImageData(d,a),u=new Uint32Array(h.data.
buffer),p=Array.from({length:l+1},(k,$)=>Math.round(s.place($)*d));r.forEach(({adapter:k},$)=>{for(let N=0;N<l;N++){let M=n.
cells[N*a+k.index];Number.isNaN(M)||u.fill(ke[Math.max(0,Math.min(255,M*255|0))],$*d+p[N],$*d+p[N+1])}});let w=new OffscreenCanvas(
d,a);Vt(w).putImageData(h,0,0);let m=Vt(t);m.imageSmoothingEnabled=!1,m.scale(i,i);let b=d/i,f=k=>s.place(k)*b,y=0;for(let k=1;k<=
r.length;k++)k<r.length&&r[k].y===r[k-1].y+o||(m.drawImage(w,0,y,d,k-y,0,r[y].y,b,(k-y)*o),y=k);let _=m.createPattern(Se(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:k,y:$})=>{Oe(s,k.index,4,(N,M)=>{
m.fillStyle=_,m.fillRect(f(N),$,f(M)-f(N),o)})});let A=m.createPattern(Se(null,"#fff",8),"repeat");r.forEach(({adapter:k,
y:$})=>{Oe(s,k.index,3,(N,M)=>{let S=f(M)-f(N),R=Math.round(Math.max(7,S)),j=Math.max(7,o),V=Math.round(Math.max(0,Math.
min(b-R,(f(N)+f(M))/2-R/2))),G=Math.round($+o/2-j/2),et=o<7||S<7;m.fillStyle="#fff",et&&m.fillRect(V-1.5,G-1.5,R+3,j+3);
for(m.fillStyle of et?[Ae]:[Ae,A])m.fillRect(V,G,R,j)})})}var Vt=t=>t.getContext("2d");function Oe(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let i=o<t.columns&&t.flags[o*t.n+e]&s;i&&r<0&&(r=o),!i&&r>=0&&(n(r,o),r=-1)}}function Se(t,e,s){let n=new OffscreenCanvas(
s,s),r=Vt(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}function Kt(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function Ie(t){let e=t.map(({name:r,layer:o})=>[r.slice(r.lastIndexOf(".")+
1),r.slice(r.indexOf(`.${o}.`)+1).replace(`${o}.`,""),r.replace(`.${o}.`,".")]),s=(r,o,i)=>JSON.stringify([r,o,i]),n=new Map;
for(let[r,{layer:o}]of t.entries())for(let[i,l]of e[r].entries())n.set(s(o,l,i),(n.get(s(o,l,i))??0)+1);return t.map((r,o)=>{
let{name:i,layer:l}=r,a=e[o].find((d,h)=>n.get(s(l,d,h))===1)??i;return{...r,index:o,type:a,short:l==null?i:`${l} · ${Kt(
a,18)}`}})}function Re(t){let e=new Map;for(let s of t)e.has(s.type)||e.set(s.type,[]),e.get(s.type).push(s);return[...e].map(([s,n])=>({
name:s,adapters:n}))}function We({high:t}){let e=Float32Array.from(t,Math.log2),s=[],n=-1/0,r=Math.max(1,Math.floor(e.length/
2e4))|1;e.forEach((i,l)=>{Number.isFinite(i)&&(n=Math.max(n,i),l%r===0&&s.push(i))}),s.sort((i,l)=>i-l),n===-1/0&&(n=0);
let o=Math.min(s[Math.floor(.01*s.length)]??0,n-1e-6);return{cells:e.map(i=>(i-o)/(n-o)),ends:[`≤ ${v(2**o)}`,"log",v(
2**n)]}}var Le=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),Ot=t=>x(108+6*(Le(t)-11));function Fe(t,e,s,n){
let r=Zs(t,e),{rows:o,size:i,height:l}=r,a=Math.max(1,Math.min(3,devicePixelRatio||1)),d=c("canvas",{id:"heat",width:Math.
round(n*a),height:Math.round(l*a),role:"img",style:`width:${n}px;height:${l}px`,"aria-label":`${t.state.metric} of ${e.n}\
 adapters at ${e.columns} columns of steps`});Ee(d,t,e,s,o,i,a);let h=Js(t,e,r,n);return Qs(d,t,e,o,h,n),c("div",{class:"\
plot",style:`grid-template-columns:${Ot(t)-4}px ${n}px`},c("span",{class:"strip-name"},"alerts"),tn(t,e,n),Xs(t,e,r),c("\
div",{class:"stage",style:`width:${n}px;height:${l}px`},d,h.overlay),c("span",{class:"strip-name"},"step"),en(e,n))}function Zs(t,{
n:e}){let s=Re(t.adapters),n=Math.max(300,innerHeight-x(232)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(1,Math.min(x(
30),Math.floor((n-r*s.length)/e))),i=[],l=[],a=0;for(let d of s){let h=a;for(let u of d.adapters)i.push({adapter:u,y:a}),
a+=o;l.push({name:d.name,y:(h+a)/2}),a+=r}return{rows:i,labels:l,size:o,height:a-r}}function Js(t,e,{rows:s,size:n,height:r},o){
let i=f=>e.place(f)*o,l=f=>Math.max(1.5,i(f+1)-i(f)),a=g("svg",{class:"overlay",width:o,height:r}),d=e.columnOf(t.step);
t.step>=e.first[0]&&a.append(g("rect",{class:"at",x:i(d)-.5,y:0,width:l(d)+1,height:r}));let h=t.state.adapter&&s.find(f=>f.
adapter.name===t.state.adapter);h&&a.append(g("rect",{class:"at",x:.5,y:h.y-.5,width:o-1,height:n+1}));let u=g("rect",{class:"\
cross",height:n+2,width:o}),p=g("rect",{class:"cross",height:r}),w=g("rect",{class:"select",y:0,height:r});return a.append(
u,p,w),{overlay:a,band:w,point:(f,y)=>{u.setAttribute("y",f.y-1),p.setAttribute("x",i(y)),p.setAttribute("width",l(y)),u.
style.display=p.style.display="block"},leave:()=>{u.style.display=p.style.display="none"}}}function Qs(t,e,s,n,{band:r,point:o,
leave:i},l){let a=h=>s.columnOf(s.stepAt(h/l)),d=h=>n.findLast(({y:u})=>u<=h.clientY-t.getBoundingClientRect().top);yt(t,
r,{hover:(h,u)=>{let p=d(h);p&&(o(p,a(u)),E.show(h,...Ys(s,a(u),p.adapter)))},leave:i,zoom:(h,u)=>e.set({from:s.first[a(
h)],to:s.last[a(u)]}),choose:(h,u)=>{let p=d(h)?.adapter.name,w=s.last[a(u)];p&&e.set({view:"layer",adapter:p,step:w>=e.
lastStep?"":w})}})}function Ys(t,e,{name:s,index:n}){let r=t.flags[e*t.n+n];return[c("b",null,s),`${t.steps(e)}: ${t.say(
e,n,v)||"–"}`,r&3?c("strong",null,at(r)):null]}function Xs(t,{n:e},{rows:s,labels:n,size:r,height:o}){let i=Ot(t),l=g(
"svg",{class:"gutter",width:i-6,height:o}),a=r>=x(11)&&n.length<e,d=-99;for(let h of n)h.y-d<x(12)||(d=h.y,l.append(g("t\
ext",{x:a?i-x(36):i-12,y:h.y+x(4),"text-anchor":"end",class:"group"},Kt(h.name,Le(t)+(a?0:4)),g("title",null,h.name))));
for(let{adapter:h,y:u}of a?s:[])l.append(g("text",{x:i-12,y:u+r/2+x(4),"text-anchor":"end",class:"item"},h.layer??""));return l}
function tn(t,e,s){let r=g("svg",{class:"strip",width:s,height:20});for(let o of t.alerts){if(o.step<e.first[0]||o.step>
e.end)continue;let i=e.columnOf(o.step),l=(e.place(i)+e.place(i+1))/2*s;r.append(Ft(o,Math.max(7,l),20,()=>t.openAlert(o)))}
return r}function en(t,e){let s=g("svg",{class:"axis",width:e,height:x(18)}),n=r=>(r-t.first[0]+.5)/(t.stepAt(1)-t.first[0]+
1)*e;for(let r of q(t.first[0],t.end,e/x(70)).filter(Number.isInteger)){let o=n(r);s.append(g("text",{x:o,y:x(14),"text-\
anchor":o<12?"start":o>e-14?"end":"middle"},r))}return s}var sn="Heatmap",nn=12,qt=()=>x(268);async function rn(t){let{state:e,adapters:s}=t;if(!s.length||!e.metric)return c("p",
{class:"empty-page"},"This run has no adapters.");let n=on(t),r=t.width>3*qt(),o=t.width-(r?qt()+16:0)-28,i=o-Ot(t)-4,l=await t.
metric(e.metric,t.window(Math.max(50,Math.floor(i/50)*50)));if(t.notes=[...new Set([...t.notes,...l.notes])],!l.columns)
return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen range."));l.until=Math.min(t.
lastStep,e.to===""?1/0:Number(e.to));let a=We(l);return c("div",{class:"heat"},n,c("div",{class:"columns",style:`grid-te\
mplate-columns:minmax(0,1fr)${r?` ${qt()}px`:""}`},c("section",{class:"card"},an(l,a),Fe(t,l,a,i)),c("section",{class:"c\
ard side"},c("header",null,c("h2",null,O(`Stand out at ${l.steps(l.columnOf(t.step))}`,"Stand out"))),ln(t,l))))}var on=t=>c(
"div",{class:"toolbar"},c("span",{class:"pick"},O("Metric",t.state.metric),c("select",{id:"metric","aria-label":"metric",
onchange:e=>t.set({metric:e.target.value})},t.run.metrics.map(e=>c("option",{value:e,selected:e===t.state.metric},e)))),
c("span",{class:"note"},"drag to zoom, click for the adapter, arrow keys for the steps and adapters"));function an(t,{ends:e}){
return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${Me}`}),c("span",null,e.map(s=>c("span",
null,s)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"no\
t measured"),c("span",{class:"grow"}),c("span",{class:"note"},t.pooled?`${t.rows} steps in ${t.columns} columns; extreme\
s and NaN kept`:`${t.rows} ${t.rows===1?"step was":"steps were"} read`))}function ln(t,e){if(t.step<e.first[0])return c(
"p",{class:"none"},"Nothing was measured up to this step.");let s=e.columnOf(t.step)*e.n,n=t.adapters.map(a=>({adapter:a,
value:e.high[s+a.index],flags:e.flags[s+a.index]})).filter(({flags:a})=>!(a&4)).map(a=>({...a,broken:a.flags&3}));if(!n.
some(({broken:a,value:d})=>a||d!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not mea\
sured at this step.");let r=n.filter(({broken:a})=>!a).sort((a,d)=>a.value-d.value),o=r[r.length>>1]?.value,i=({broken:a,
value:d})=>a?1/0:Math.abs(Math.log2(d/o)),l=({adapter:a,value:d,broken:h})=>c("button",{class:"row",title:a.name,onclick:()=>t.
set({view:"layer",adapter:a.name})},c("span",{class:"clip"},a.short),c("b",null,h?at(h):v(d)),c("small",null,h?"":cn(d/o)));
return n.sort((a,d)=>i(d)-i(a)||d.value-a.value),c("ol",{class:"standout"},n.slice(0,nn).map(a=>c("li",null,l(a))))}var cn=t=>t<
1?`÷ ${v(1/t)}`:`× ${v(t)}`;var Jt={};st(Jt,{draw:()=>hn,title:()=>dn});var dn="Layer",Ce=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",[["output_ratio","out\
put_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],["relative_spectral_no\
rm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],["Ranks in use","of \
r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius norms",[["a_norm","A"],
["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","B"]],!0],["Product",
"‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Updates that arrived","share of 64 numbers that \
changed",[["a_changed","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["b\
ase_drift","base_drift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the \
live factor",[["scale","scale"]],!1]];async function hn(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"emp\
ty-page"},"This run has no adapters.");let r=t.width>x(1260)?4:3,o=z(t.width,Array(r).fill(1)),i=o.widths[0],l=new Set(Ce.
flatMap(([,,m])=>m.map(([b])=>b))),a=[...Ce,...s.metrics.filter(m=>!l.has(m)).map(m=>[T(m),null,[[m,m]],!0])].map(([m,b,
f,y])=>({name:m,note:b,log:y,several:f.length>1,metrics:f.filter(([_])=>s.metrics.includes(_))})).filter(({metrics:m})=>m.
length),d=a.flatMap(({metrics:m})=>m.map(([b])=>b)),h={max_cols:400,adapter:e.index,from:n.from,to:n.to},u={...h,from:n.
from||1},p=Object.fromEntries(await Promise.all(d.map(async m=>[m,await t.metric(m,m==="effective_lr"?u:h)]))),w=t.alerts.
filter(m=>m.adapters?.some(({name:b})=>b===e.name));return c("div",{class:"layer"},un(t,w),c("div",{class:"columns",style:o.
style},a.map(({name:m,note:b,metrics:f,log:y,several:_})=>{let A=f.map(([$,N,M],S)=>({name:N,matrix:p[$],colour:M?"var(-\
-soft)":`var(--c${S+1})`,dash:M})),k=A.length>1||_;return U(m,b,A,{legend:k,term:f[0][0],width:i-26,height:x(150)+(k?0:x(
21)),...t.charting,log:y||f[0][0]==="effective_lr"&&t.charting.discarded.length>0,alerts:w.filter($=>f.some(([N])=>N===$.
metric)),onAlert:$=>t.openAlert($,"alerts")})})))}function un(t,e){let{adapter:s,adapters:n,schema:r,moveAdapter:o}=t,i=r.
peak_lr?.[s.group??-1],l=(a,d,h)=>d!=null&&c("div",null,c("dt",null,a),c("dd",null,d,h&&c("small",null,` ${h}`)));return c(
"section",{class:"card layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"adapter before \
(↑)",onclick:()=>o(-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:a=>t.set({adapter:a.
target.value})},n.map(a=>c("option",{value:a.name,selected:a===s},a.name))),c("button",{id:"after",class:"quiet",title:"\
adapter after (↓)",onclick:()=>o(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("span",{class:"gr\
ow"}),e.length?e.map(a=>c("button",{class:"chip",onclick:()=>t.openAlert(a,"alerts"),title:a.message},W(a.severity,11),`${a.
rule}, ${D(a)}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"facts"},l(O("Kind"),s.kind),
s.d_out!=null&&l(O("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&l(O("B · A"),`${s.d_out} × ${s.r} · ${s.r} × ${s.d_in}`),
l(O("r","r"),s.r||null),l(O("α","alpha"),s.alpha==null?null:v(s.alpha)),l(O("s","scale"),s.scale==null?null:v(s.scale),
At(s.scale_formula)),l(O("Group","group"),s.group==null?"in no optimizer group":String(s.group),i!=null?`lr ≤ ${v(i)}`:
null),l(O("Trainable"),s.trainable?.toLocaleString("en")),l(O("‖W₀‖","base_norm"),s.base_norm==null?"unknown":v(Number(
s.base_norm))),l(O("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"unknown":v(Number(s.base_spectral_norm)))))}var Z={overview:Pt,heatmap:Zt,layer:Jt,alerts:Ut,compare:Ht};function Qt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},fn(t)),gn(t),mn(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?pn(t):""),e&&document.
getElementById(e)?.focus({preventScroll:!0})}function fn(t){let e=P.find(n=>K(t.counts,n)),s=P.reduce((n,r)=>n+K(t.counts,
r),0);return Object.entries(Z).map(([n,r])=>c("button",{id:`tab-${n}`,"aria-current":n===t.state.view&&"page",onclick:()=>t.
set({view:n})},r.title,n==="alerts"&&e?c("span",{class:`count ${I(e)}`},s):null))}var mn=t=>c("label",{class:"pick scrub"},
"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.setStep(Number(
e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"step"},t.step)),pn=t=>c(
"button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-label":t.newer?null:"refr\
esh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function gn(t){let e=s=>{let n=B(t.runs[s],t.runs[s]);return c(
"option",{value:s,selected:s===t.state.run},n?`${s} (${n.word})`:s)};return c("label",{class:"pick"},"Run",c("select",{id:"\
run",onchange:({target:s})=>t.openRun(s.value)},t.runNames.map(e)))}var wn=100*2**20,St=class{#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){
return this.#e("runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}async alerts(e){
let{alerts:s,...n}=await this.#e("alerts",{run:e});return{...n,alerts:s.map(r=>r.recovered_from?{...r,severity:rt}:r)}}verdict(e,s){
return this.#e("verdict",{run:e,step:s})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,...n})}spread(e,s,n){return this.#e(
"spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,...n})}async#e(e,s){let n=Object.entries(
s).filter(([,l])=>l!=null&&l!=="").map(([l,a])=>[l,String(a)]),r=`${e}?${new URLSearchParams(n)}`;if(this.#t.has(r)){let l=this.#t.
get(r);return this.#t.delete(r),this.#t.set(r,l),l}let o=this.#r,i=this.#n(e,n);this.#t.set(r,i);try{let l=await i;return this.#s.
set(i,l.bytes??0),o===this.#r&&this.#o(),l}catch(l){throw this.#t.get(r)===i&&this.#t.delete(r),l}}#o(){let e=n=>this.#s.
get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=wn)break;s-=e(r),this.#t.delete(n)}}};var Yt="lora_watch",pt=`p.${Yt}.`,Xt=!1;function Te(){Xt=!0}function te(){if(Xt)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function ze(t){let e=()=>{let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener(
"change",()=>t(s.matches)),t(s.matches)};if(Xt)return e();try{let s=window.parent.document.body,n=()=>t(s.classList.contains(
"dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,attributeFilter:["class"]}),n()}catch{e()}}var Et=()=>te().
location.hash.replace(/^#/,"").split("&"),Be=()=>["",Yt].includes(Et()[0]);function ee(){let t={};for(let e of Et()){if(!e.
startsWith(pt))continue;let[s,n=""]=e.slice(pt.length).split("=");try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}
return t}function je(t,e){if(!Be())return;let s=Et().filter((o,i)=>i>0&&o&&!o.startsWith(pt)),n=Object.entries(t).filter(
([,o])=>o!==""&&o!=null).map(([o,i])=>`${pt}${o}=${encodeURIComponent(i)}`),{history:r}=te();try{r[e?"pushState":"replac\
eState"](r.state,"",`#${[Yt,...n,...s].join("&")}`)}catch{}}function Pe(t){let e=te(),s=()=>{Be()&&Et().some(n=>n.startsWith(
pt))&&t(ee())};e.addEventListener("hashchange",s),window.addEventListener("pagehide",()=>e.removeEventListener("hashchan\
ge",s))}function De(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||e.target.matches?.("select")||e.target.id==="scrub"&&e.key.
startsWith("Arrow"))return;let s=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,n=["layer","heatmap"].includes(t.state.
view),r={ArrowLeft:()=>t.setStep(t.step-s),ArrowRight:()=>t.setStep(t.step+s),ArrowUp:n&&(()=>t.moveAdapter(-1)),ArrowDown:n&&
(()=>t.moveAdapter(1)),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""})}[e.key];r&&(e.preventDefault(),r())}var It={view:"overview",run:"",metric:"",adapter:"",step:"",from:"",to:"",alert:""},yn=["output_ratio","relative_spectra\
l_norm","relative_norm","delta_norm"],bn=5e3;function xn(t,e,s){let n=Object.keys(e).filter(l=>!(l in t)),r=n.length?`${n.
length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&!Object.keys(t).length)return{words:r,isHere:!0};let[o,i]=[
t[s],e[s]];return o&&i&&i.step!==o.step?{words:`now at step ${i.step}`,isHere:!0}:o&&i&&i.wall_time!==o.wall_time?{words:"\
more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var Rt=class{constructor(e,s,n=!0){this.data=new St(s),this.live=
n,this.state={...It},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),this.heading=c("h1",{class:"\
unseen"}),this.bar.tabIndex=-1,e.append(this.bar,this.main),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.counts={},this.adapters=[],this.notes=[]}async start(){
ze(n=>{this.dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(ee()),Pe(n=>{this.
wanted=null,this.#s(n),this.draw()}),addEventListener("keydown",n=>De(this,n));let e=innerWidth,s;addEventListener("resi\
ze",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},80)}),addEventListener(
"pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&setInterval(()=>this.#n(),
bn),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.hidden||!innerWidth||
!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);if(e!==this.state.
run)return;let n=xn(this.runs,s,this.wanted?.run??e);if(n?.isHere&&this.#t&&!this.pressed)return this.refresh();!this.pressed&&
B(this.ending,this.run)?.word!==this.endWord&&await this.draw(),n?.words!==this.newer&&(this.newer=n?.words,Qt(this))}get#t(){
let{step:e,to:s}=this.state;return s===""&&(e===""||Number(e)>this.lastStep)}set(e){let{view:s,run:n}=this.state;return this.
wanted=null,this.#s({...this.state,...e}),this.navigated||=this.state.view!==s||this.state.run!==n,this.draw()}#s(e){this.
state=Object.fromEntries(Object.entries(It).map(([s,n])=>[s,String(e[s]??n)])),this.state.view in Z||(this.state.view="o\
verview")}async draw(){let e=++this.drawing,{view:s,run:n}=this.state;this.loading=!0,document.body.setAttribute("aria-b\
usy","true");let r=setTimeout(()=>{e===this.drawing&&this.shown&&(this.shown!==s||this.shownRun!==n)&&this.#c(s)},150);try{
if(this.runs=await this.data.runs(),!Object.keys(this.runs).length)return this.#i(e,c("p",{class:"empty-page"},"No run h\
ere holds LoRA data yet. Add LoraWatchCallback() to the Trainer."));this.#r();let o=await this.#e();if(e!==this.drawing)
return;await this.#o(o),Qt(this),this.#l();let i=await Z[this.state.view].draw(this);this.#i(e,i)}catch(o){this.#i(e,c("\
div",{class:"empty-page",role:"alert"},c("p",null,`This view could not be drawn: ${o.message}`),c("button",{id:"again",class:"\
quiet",onclick:()=>this.refresh()},"Try again")))}finally{clearTimeout(r)}}#r(){if(this.wanted&&this.wanted.run in this.
runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.run in this.runs)return;this.state.run&&(this.wanted??=this.
state);let e=({verdict:o,wall_time:i})=>[this.live?0:Mt(o),i],s=(o,i)=>e(o)[0]-e(i)[0]||e(o)[1]-e(i)[1],n=Object.keys(this.
runs).reduce((o,i)=>s(this.runs[i],this.runs[o])>0?i:o),r=!this.live&&!Mt(this.runs[n].verdict)&&this.runNames.length>1;
this.#s({...this.wanted?{view:this.state.view}:this.state,...r&&this.state.view===It.view?{view:"compare"}:{},run:n})}async#e(){
let e=this.state.run,[s,n,r]=await Promise.all([this.data.schema(e),this.data.alerts(e),this.data.verdict(e)]);return{schema:s,
found:n,ending:r}}async#o({schema:e,found:s,ending:n}){this.schema=e,this.ending=n,this.alerts=s.alerts,this.counts=s.counts,
this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.adapters=await this.#d(e),this.missing=this.#a();
let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=yn.find(o=>r.includes(o))??r[0]??""),this.endWord=
B(n,this.run)?.word,this.newer=void 0}#a(){let{adapter:e}=this.state;return this.wanted?`There is no run “${this.wanted.
run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.adapters.some(({name:s})=>s===e)?`Th\
is run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapters: nothing but its loss and rates i\
s known."}#l(){this.wanted||je(Object.fromEntries(Object.entries(this.state).filter(([e,s])=>s!==It[e])),this.navigated),
this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length} runs`:"";this.main.replaceChildren(
c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${Z[e].title.toLowerCase()}${s} …`,c("progress")))}#i(e,s){
if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;E.hide();let o=it("notes",[this.missing??
[]].flat());this.main.replaceChildren(...c("div",null,o,s,it("notes",this.notes??[])).childNodes),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${Z[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#d(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:n},(r,o)=>({name:`adapter ${o}`}))}return Ie(s)}get lastStep(){return this.run.step}get runNames(){
return Object.keys(this.runs).sort((e,s)=>e.localeCompare(s,void 0,{numeric:!0}))}get step(){let e=Number(this.state.step);
return this.state.step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){
return this.adapters.find(e=>e.name===this.state.adapter)??this.#h??this.adapters[0]}get#h(){let e=this.alerts[this.ending.
first??-1]?.adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}metric(e,s){return this.data.metric(this.
state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.data.spread(n,e,s):null}async series(e,s,n=this.
state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.
all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(e.map((o,i)=>[o,r[i]]))}window(e){return{max_cols:e,from:this.
state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(
1,e):Number(n)]}get charting(){let{step:e,setStep:s,zoom:n}=this;return{step:e,onStep:s,onZoom:n,range:this.range(),discarded:Y(
this.alerts)}}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.
set({step:s>=this.lastStep?"":Math.max(0,s)})};moveAdapter=e=>{let s=this.adapters.length;return s&&this.set({adapter:this.
adapters[(this.adapter.index+e+s)%s].name})};openRun=(e,s=this.state.view)=>this.set({view:s,run:e,adapter:"",step:"",from:"",
to:"",alert:""});openAlert=(e,s=this.state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.
name??this.state.adapter,metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};async function He(t){let e=Uint8Array.from(atob(t.trim()),d=>d.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(new DecompressionStream(
"deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,tables:i}=JSON.parse(new TextDecoder().
decode(new Uint8Array(n,4,r))),l=new Map,a=d=>{let[h,u]=i[d];return l.has(d)||l.set(d,Q.parse(n.slice(4+r+h,4+r+h+u))),l.
get(d)};return async(d,h)=>{let{run:u="",metric:p,name:w,at:m,...b}=Object.fromEntries(h),f=Object.fromEntries(Object.entries(
b).map(([A,k])=>[A,Number(k)])),y=JSON.stringify([d,u,p??w??""]),_=JSON.stringify([`${d} at`,u,p??w??""]);if(m&&_ in i)return a(
_);if(y in i)return a(y).window(f);if(!(y in o))throw new Error(`The report does not hold ${p??w??d}.`);return d==="verd\
ict"?vn(o[y],f.step??1/0):o[y]}}var vn=({first:t,...e},s)=>({...e,first:t.findLast(([n])=>n<=s)?.[1]??null});Te();var $n=document.getElementById("answers");He($n?.textContent??"").then(t=>new Rt(document.body,t,!1).start());
